/*
 * plainjob, a queue on SQLite for Node: insert jobs in batches of a thousand,
 * run them all, and end with one line of JSON.
 *
 *	node plainjob.js DB JOBS | --version
 *
 * plainjob sets synchronous=NORMAL, with which a machine that dies may take
 * the last jobs with it; what weir promises is FULL, so that is put back.  It
 * runs one job at a time, and keeps those that are done.
 */
import Database from "better-sqlite3";
import { better, defineQueue, defineWorker, JobStatus } from "plainjob";
import { readFileSync, rmSync } from "node:fs";

const BATCH = 1000;
const FULL = 2;
const silent = { error() {}, warn() {}, info() {}, debug() {} };

function version(name) {
	const path = new URL(`./node_modules/${name}/package.json`,
		import.meta.url);
	return JSON.parse(readFileSync(path, "utf8")).version;
}

function versions() {
	const sqlite = new Database(":memory:")
		.prepare("SELECT sqlite_version()").pluck().get();
	console.log(JSON.stringify({
		"plainjob": version("plainjob"),
		"better-sqlite3": version("better-sqlite3"),
		"its SQLite": sqlite,
		"Node": process.versions.node,
	}));
}

function insertAll(queue, jobs) {
	for (let done = 0; done < jobs; done += BATCH) {
		const count = Math.min(BATCH, jobs - done);
		queue.addMany("bench", Array.from({ length: count },
			(_, i) => ({ num: done + i })));
	}
}

async function runAll(queue, jobs) {
	let count = 0;
	let ids = 0;
	const worker = defineWorker("bench", (job) => {
		ids += job.id;
	}, {
		queue, logger: silent,
		onCompleted() {
			if (++count === jobs)
				worker.stop();
		},
	});
	await worker.start();
	return count === jobs && ids === jobs * (jobs + 1) / 2;
}

async function main(path, jobs) {
	for (const tail of ["", "-wal", "-shm"])
		rmSync(path + tail, { force: true });
	const db = new Database(path);
	const queue = defineQueue({ connection: better(db), logger: silent });
	db.pragma(`synchronous = ${FULL}`);
	const from = process.hrtime.bigint();
	insertAll(queue, jobs);
	const between = process.hrtime.bigint();
	const ran = await runAll(queue, jobs);
	const to = process.hrtime.bigint();
	const right = ran
		&& queue.countJobs({ status: JobStatus.Done }) === jobs
		&& db.pragma("synchronous", { simple: true }) === FULL;
	const perS = (ns) => Math.round(jobs * 1e9 / Number(ns));
	console.log(JSON.stringify({
		jobs, right, jobs_per_s: perS(to - from),
		insert_per_s: perS(between - from), work_per_s: perS(to - between),
		cpu_ns: process.cpuUsage().user * 1000
			+ process.cpuUsage().system * 1000,
	}));
	queue.close();
	process.exit(right ? 0 : 1);
}

if (process.argv[2] === "--version")
	versions();
else
	await main(process.argv[2], Number(process.argv[3]));
