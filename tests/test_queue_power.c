/*
 * The power fails while a queue is at work, at random calls of SQLite's to the
 * disk; and what is found then is held against what had been answered.
 *
 *      driver ──> store ──> SQLite ──> crash VFS ──> unix VFS
 *        │                                 │ image
 *        └──> ledger <──────── judge <─────┘
 *
 * WEIR_TEST_IMAGES says how many images; .ci/run wants 20,000.
 */
#include "crash_vfs.h"
#include "harness.h"
#include "queue_driver.h"
#include "scratch.h"

#include <inttypes.h>

struct power {
	char folder[SCRATCH_MAX], image[SCRATCH_MAX + 8];
	char path[SCRATCH_MAX + 16], image_path[SCRATCH_MAX + 24];
	struct driver driver;
	struct weir_rng own_rng; /* the test's thread's */
	unsigned one_in, allowed;
	_Atomic uint64_t images;

	/* the hook's, which is on one thread at a time */
	struct weir_rng rng;
	uint64_t dirty, bad, keeps[CRASH_KEEPS];
	uint64_t wrongs[LEDGER_WRONGS];
};

static uint64_t
images_wanted(void)
{
	const char *text = getenv("WEIR_TEST_IMAGES");

	if (text && *text)
		return strtoull(text, NULL, 10);
	return SANITIZED ? 400 : 3000;
}

static void
on_call(void *user)
{
	struct power *p = user;
	enum crash_keep keep;

	if (weir__rng_below(&p->rng, p->one_in))
		return;
	keep = (enum crash_keep)weir__rng_below(&p->rng, CRASH_KEEPS);
	scratch_empty(p->image);
	crash_vfs_image(p->image, keep, &p->rng);
	atomic_fetch_add(&p->images, 1);
	p->keeps[keep]++;
	p->dirty += crash_vfs_unsynced() > 0;
	p->bad += !ledger_judge(&p->driver.ledger, p->image_path, true,
				p->allowed, p->wrongs);
}

static void
power_begin(struct power *p, uint64_t seed)
{
	scratch_make(p->folder);
	(void)snprintf(p->image, sizeof(p->image), "%s-image", p->folder);
	(void)snprintf(p->path, sizeof(p->path), "%s/jobs.db", p->folder);
	(void)snprintf(p->image_path, sizeof(p->image_path), "%s/jobs.db",
		       p->image);
	REQUIRE(mkdir(p->image, 0700) == 0);
	weir__rng_seed(&p->rng, seed);
	weir__rng_seed(&p->own_rng, seed + 2);
	p->driver = (struct driver){.path = p->path, .jobs_max = 150};
	driver_begin(&p->driver, seed + 1);
	crash_vfs_watch(p->folder, on_call, p);
}

static void
power_end(struct power *p)
{
	crash_vfs_watch(NULL, NULL, NULL);
	scratch_remove(p->folder);
	scratch_remove(p->image);
}

/* The life of one database, which is closed and opened now and then. */
static void
power_life(struct power *p, uint64_t seed, uint64_t images,
	   weir_durability durability)
{
	struct driver *d = &p->driver;
	bool room = true;

	power_begin(p, seed);
	d->durability = durability;
	d->alone = weir__rng_below(&p->own_rng, 3) == 0;
	d->inserters = (unsigned)weir__rng_below(&p->own_rng, 3);
	p->one_in = d->inserters ? 20 : 8;
	while (room && p->images < images) {
		unsigned steps =
			20 + (unsigned)weir__rng_below(&p->own_rng, 30);

		REQUIRE(driver_open(d));
		while (room && steps-- > 0)
			room = driver_step(d);
		driver_close(d, weir__rng_below(&p->own_rng, 2));
	}
	CHECK_MSG(atomic_load(&d->failures) == 0, "%s", d->error.message);
	power_end(p);
}

static void
power_run(struct power *p, uint64_t images, weir_durability durability)
{
	uint64_t lives = 0;

	while (p->images < images)
		power_life(p, test_seed() + 3 * lives++, images, durability);
	printf("# %s: %" PRIu64 " images of %" PRIu64 " databases, %" PRIu64
	       " with something unsynced; none/all/prefix/subset %" PRIu64
	       "/%" PRIu64 "/%" PRIu64 "/%" PRIu64 "\n",
	       durability == WEIR_DURABLE_POWER ? "power" : "process",
	       p->images, lives, p->dirty, p->keeps[0], p->keeps[1],
	       p->keeps[2], p->keeps[3]);
	for (unsigned i = 0; i < LEDGER_WRONGS; i++)
		if (p->wrongs[i])
			printf("# %" PRIu64 " images: %s\n", p->wrongs[i],
			       ledger_wrong_text((enum ledger_wrong)i));
}

TEST_LIMIT(power, nothing_that_was_acknowledged_is_lost, 600)
{
	static struct power p;

	power_run(&p, images_wanted(), WEIR_DURABLE_POWER);
	CHECK_EQ_INT(p.bad, 0);
	CHECK_MSG(p.dirty > p.images / 4, "the images are too clean");
}

/* It says so; and a test that does not see that would see nothing. */
TEST_LIMIT(power, with_durability_process_the_last_commits_may_be_lost, 120)
{
	static struct power p;

	p.allowed =
		1u << LEDGER_LOST | 1u << LEDGER_UNDONE | 1u << LEDGER_REVIVED;
	power_run(&p, 60 + images_wanted() / 20, WEIR_DURABLE_PROCESS);
	CHECK_EQ_INT(p.bad, 0);
	CHECK(p.wrongs[LEDGER_LOST] + p.wrongs[LEDGER_UNDONE] > p.images / 10);
}
