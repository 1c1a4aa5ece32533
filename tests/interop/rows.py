"""What a row must look like for every client of River to read it.

Nothing here knows who wrote the row: the same rules are held against those of
River's own client, which so tests the rules.
"""

import re
from datetime import datetime

from sides import sql

STATES = ("available", "cancelled", "completed", "discarded", "pending",
          "retryable", "running", "scheduled")
FINAL = ("cancelled", "completed", "discarded")
RFC3339 = re.compile(
    r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,9})?(Z|[+-]\d\d:\d\d)")
QUEUE = re.compile(r"[a-z0-9]+([_|-]?[a-z0-9]+)*")
KIND = re.compile(r"\w[\w\-\[\]<>/.·:+]+")
TAG = re.compile(r"\w[\w\-]+\w")

JOBS = """
SELECT *, array_ndims(errors) AS errors_dims,
       array_lower(errors, 1) AS errors_lower,
       array_ndims(attempted_by) AS by_dims,
       array_lower(attempted_by, 1) AS by_lower,
       jsonb_typeof(args) AS args_type, jsonb_typeof(metadata) AS metadata_type,
       octet_length(unique_key) AS key_length,
       isfinite(scheduled_at) AND isfinite(created_at) AS finite,
       extract(epoch FROM scheduled_at) AS scheduled,
       extract(epoch FROM created_at) AS created,
       extract(epoch FROM attempted_at) AS attempted,
       extract(epoch FROM finalized_at) AS finalized
FROM river_job ORDER BY id
"""


def jobs(schema):
    return {row["id"]: row for row in sql(JOBS, schema)}


def bad_time(value):
    if not isinstance(value, str) or not RFC3339.fullmatch(value):
        return True
    try:  # fromisoformat knows microseconds
        datetime.fromisoformat(
            re.sub(r"\.(\d{1,6})\d*", r".\1", value).replace("Z", "+00:00"))
    except ValueError:
        return True
    return False


def bad_error(element):
    if not isinstance(element, dict):
        return "no object"
    if set(element) != {"at", "attempt", "error", "trace"}:
        return f"has {sorted(element)}"
    if bad_time(element["at"]):
        return f"at {element['at']!r}"
    if type(element["attempt"]) is not int:
        return f"attempt {element['attempt']!r}"
    if type(element["error"]) is not str or type(element["trace"]) is not str:
        return "a text is none"
    return None


def judge_errors(row):
    if row["errors"] is None:
        return
    if row["errors_dims"] != 1 or row["errors_lower"] != 1:
        yield f"errors has {row['errors_dims']} dimensions"
    for element in row["errors"]:
        why = bad_error(element)
        if why:
            yield f"an element of errors {why}"


def judge_attempts(row):
    if not 0 <= row["attempt"] <= 32767 or row["max_attempts"] < 1:
        yield f"attempt {row['attempt']} of {row['max_attempts']}"
    if (row["attempted_by"] is None) != (row["attempted_at"] is None):
        yield "attempted_by and attempted_at do not agree"
    if row["attempted_by"] is not None:
        if row["by_dims"] != 1 or row["by_lower"] != 1:
            yield f"attempted_by has {row['by_dims']} dimensions"
        if len(row["attempted_by"]) > 100:
            yield f"attempted_by has {len(row['attempted_by'])} elements"
        if not all(row["attempted_by"]):
            yield "attempted_by has an element without a name"
    if row["state"] == "running" and (
            row["attempted_at"] is None or row["attempt"] < 1):
        yield "runs, but was not attempted"


def judge_unique(row):
    bits = row["unique_states"]
    if (row["unique_key"] is None) != (bits is None):
        yield "unique_key and unique_states do not agree"
        return
    if bits is None:
        return
    if row["key_length"] != 32:
        yield f"unique_key has {row['key_length']} bytes"
    # The leftmost bit is that of scheduled, the last of the states.
    states = {STATES[7 - i] for i, bit in enumerate(bits) if bit == "1"}
    missing = {"available", "pending", "running", "scheduled"} - states
    if missing:
        yield f"unique_states lacks {missing}"


def judge_metadata(row):
    if row["metadata_type"] != "object" or row["args_type"] != "object":
        yield "args or metadata is no object"
        return
    metadata = row["metadata"]
    if "cancel_attempted_at" in metadata and \
            bad_time(metadata["cancel_attempted_at"]):
        yield f"cancel_attempted_at {metadata['cancel_attempted_at']!r}"
    for name in ("snoozes", "river:rescue_count"):
        if name in metadata and type(metadata[name]) is not int:
            yield f"{name} {metadata[name]!r}"
    if metadata.get("unique_key_conflict", "scheduler_discarded") != \
            "scheduler_discarded":
        yield f"unique_key_conflict {metadata['unique_key_conflict']!r}"


def judge_rest(row):
    if row["state"] not in STATES:
        yield f"state {row['state']}"
    if (row["finalized_at"] is not None) != (row["state"] in FINAL):
        yield "finalized_at and the state do not agree"
    if not row["finite"] or row["scheduled_at"][4] != "-":
        yield f"scheduled_at {row['scheduled_at']}"
    if not 1 <= row["priority"] <= 4:
        yield f"priority {row['priority']}"
    if not QUEUE.fullmatch(row["queue"]) or len(row["queue"]) > 64:
        yield f"queue {row['queue']!r}"
    if not KIND.fullmatch(row["kind"]) or len(row["kind"]) > 127:
        yield f"kind {row['kind']!r}"
    if row["tags"] is None:
        yield "tags is NULL"
    for tag in row["tags"] or ():
        if not TAG.fullmatch(tag) or len(tag) > 255:
            yield f"tag {tag!r}"


def judge(row):
    """What is wrong with a row of JOBS."""
    for rule in (judge_errors, judge_attempts, judge_unique, judge_metadata,
                 judge_rest):
        yield from rule(row)


def judge_all(schema):
    wrong = [f"job {row['id']} ({row['kind']}): {why}\n{row}"
             for row in jobs(schema).values() for why in judge(row)]
    for row in sql("SELECT *, jsonb_typeof(metadata) AS type "
                   "FROM river_queue", schema):
        if row["type"] != "object" or not QUEUE.fullmatch(row["name"]):
            wrong.append(f"queue {row}")
    return wrong


def summary(schema):
    """A line for each job, to be read when something is wrong."""
    return [f"{row['id']} {row['kind']} {row['state']} {row['attempt']} "
            f"of {row['max_attempts']}, {row['scheduled_at']}, "
            f"{row['metadata']}, {row['errors']}, {row['attempted_by']}"[:400]
            for row in list(jobs(schema).values())[:20]]


# What may differ between two rows of the same story: who and when.
def story(row):
    """A row without its names and times, for comparing."""
    told = {name: row[name] for name in (
        "state", "attempt", "max_attempts", "priority", "args", "kind",
        "queue", "tags", "unique_key", "unique_states")}
    told["metadata"] = {
        name: "a time" if name == "cancel_attempted_at" else value
        for name, value in row["metadata"].items()}
    told["errors"] = row["errors"] and [
        {"attempt": e["attempt"], "error": e["error"]} for e in row["errors"]]
    told["attempts"] = row["attempted_by"] and len(row["attempted_by"])
    told["scheduled as created"] = row["scheduled_at"] == row["created_at"]
    told["finalized"] = row["finalized_at"] is not None
    return told


CATALOG = """
SELECT 'column' AS what, c.relname || '.' || a.attname AS name,
       format_type(a.atttypid, a.atttypmod) || ' ' ||
       CASE WHEN a.attnotnull THEN 'not null ' ELSE '' END ||
       coalesce(pg_get_expr(d.adbin, d.adrelid), '') || ' ' ||
       a.attnum || ' ' || c.relpersistence::text AS is
FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid
LEFT JOIN pg_attrdef d ON d.adrelid = c.oid AND d.adnum = a.attnum
WHERE c.relnamespace = current_schema()::regnamespace AND c.relkind = 'r'
  AND a.attnum > 0 AND NOT a.attisdropped
UNION ALL
SELECT 'constraint', c.relname || '.' || k.conname, pg_get_constraintdef(k.oid)
FROM pg_constraint k JOIN pg_class c ON c.oid = k.conrelid
WHERE k.connamespace = current_schema()::regnamespace
UNION ALL
SELECT 'index', i.indexname, i.indexdef FROM pg_indexes i
WHERE i.schemaname = current_schema()
UNION ALL
SELECT 'sequence', s.sequencename, s.data_type || ' ' || s.start_value || ' ' ||
       s.max_value || ' ' || s.increment_by || ' ' || s.cycle
FROM pg_sequences s WHERE s.schemaname = current_schema()
UNION ALL
SELECT 'function', p.proname,
       pg_get_function_identity_arguments(p.oid) || ' ' ||
       pg_get_function_result(p.oid) || ' ' || p.provolatile::text
FROM pg_proc p WHERE p.pronamespace = current_schema()::regnamespace
UNION ALL
SELECT 'enum', t.typname, string_agg(e.enumlabel, ' ' ORDER BY e.enumsortorder)
FROM pg_type t JOIN pg_enum e ON e.enumtypid = t.oid
WHERE t.typnamespace = current_schema()::regnamespace GROUP BY t.typname
UNION ALL
SELECT 'trigger', c.relname || '.' || g.tgname, pg_get_triggerdef(g.oid)
FROM pg_trigger g JOIN pg_class c ON c.oid = g.tgrelid
WHERE c.relnamespace = current_schema()::regnamespace AND NOT g.tgisinternal
"""


def catalog(schema):
    """What River's part of a schema consists of.  The attribute numbers of
    columns become their order, for a column may have been dropped before."""
    found, order = {}, {}
    for row in sql(CATALOG, schema):
        if row["name"].startswith("weir_"):
            continue
        found[row["what"], row["name"]] = \
            row["is"].replace(f"{schema}.", "").replace(f'"{schema}".', "")
    for (what, name), text in list(found.items()):
        if what == "column":
            words = text.rsplit(" ", 2)
            table = name.split(".")[0]
            order.setdefault(table, []).append((int(words[1]), name))
            found[what, name] = f"{words[0]} {words[2]}"
    for table, columns in order.items():
        found["order", table] = [name for _, name in sorted(columns)]
    return found


def difference(one, other):
    """Lines that say where two such differ."""
    return [f"{key}: {one.get(key)!r} | {other.get(key)!r}"
            for key in sorted(set(one) | set(other))
            if one.get(key) != other.get(key)]
