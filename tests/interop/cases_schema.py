"""The tables: the same whoever makes them, from and to every version."""

from cases import case
from rows import catalog, difference, jobs
from sides import one, sql, until

NEWEST = 8


def empty(w, schema):
    sql(f'SET client_min_messages = warning; DROP SCHEMA "{schema}" CASCADE; '
        f'CREATE SCHEMA "{schema}"')


def versions(schema, line="main"):
    return [row["version"] for row in sql(
        f"SELECT version FROM river_migration WHERE line = '{line}' "
        "ORDER BY version", schema)]


def reference(w, schema):
    """River's catalog of each version."""
    if not hasattr(w, "catalogs"):
        w.catalogs = {}
        for version in range(1, NEWEST + 1):
            empty(w, schema)
            w.river.run(schema, "migrate", "up", version)
            w.catalogs[version] = catalog(schema)
        empty(w, schema)
    return w.catalogs


@case("River knows no newer version", ("g",), migrated=False)
def newest(w, schema, _, river):
    known = [line["version"] for line in river.run(schema, "versions")]
    w.same("versions", known, list(range(1, NEWEST + 1)))


@case("the schema is River's", ("gw",), migrated=False)
def same_schema(w, schema, _, river, weir):
    wanted = reference(w, schema)
    weir.run(schema, "migrate")
    wrong = difference(catalog(schema), wanted[NEWEST])
    w.check("newest", not wrong, *wrong)
    w.same("rows", versions(schema), list(range(1, NEWEST + 1)))
    w.same("River's validator", river.run(schema, "validate")[0]["ok"], True)


@case("from each version of River's to ours", ("gw",), migrated=False)
def from_river(w, schema, _, river, weir):
    wanted = reference(w, schema)
    for version in range(1, NEWEST + 1):
        empty(w, schema)
        river.run(schema, "migrate", "up", version)
        weir.run(schema, "migrate")
        wrong = difference(catalog(schema), wanted[NEWEST])
        w.check(f"{version}: the same", not wrong, *wrong)
        w.same(f"{version}: River's validator",
               river.run(schema, "validate")[0]["ok"], True)


@case("from each version of ours to River's", ("gw",), migrated=False)
def to_river(w, schema, _, river, weir):
    wanted = reference(w, schema)
    for version in range(1, NEWEST + 1):
        empty(w, schema)
        weir.run(schema, "migrate", "to", version, 0)
        wrong = difference(catalog(schema), wanted[version])
        w.check(f"{version}: the same", not wrong, *wrong)
        w.same(f"{version}: River's validator",
               river.run(schema, "validate")[0]["ok"], version == NEWEST)
        if version < NEWEST:
            done = [line["version"] for line in
                    river.run(schema, "migrate", "up")]
            w.same(f"{version}: River goes on", done,
                   list(range(version + 1, NEWEST + 1)))
        wrong = difference(catalog(schema), wanted[NEWEST])
        w.check(f"{version}: and ends at the newest", not wrong, *wrong)


@case("down again", ("gw",), migrated=False)
def down(w, schema, _, river, weir):
    wanted = reference(w, schema)
    enum = ("enum", "river_job_state")
    for version in range(NEWEST - 1, 0, -1):
        empty(w, schema)
        weir.run(schema, "migrate", "down", version, 0)
        found = catalog(schema)
        # "pending" came with 4, and PostgreSQL cannot take it out again.
        if version in (2, 3):
            found[enum] = found[enum].replace(" pending", "")
        wrong = difference(found, wanted[version])
        w.check(f"{version}: as it was", not wrong, *wrong)
    empty(w, schema)
    weir.run(schema, "migrate", "down", 0, 0)
    w.same("0: nothing is left", catalog(schema), {})


@case("River goes down from ours", ("gw",), migrated=False)
def river_down(w, schema, _, river, weir):
    wanted = reference(w, schema)
    weir.run(schema, "migrate")
    river.run(schema, "migrate", "down", 6)
    wrong = difference(catalog(schema), wanted[6])
    w.check("to 6", not wrong, *wrong)
    # It does not forget the line of others, so ours has to be gone first.
    lines = river.run(schema, "migrate", "down", 0, fails=True)
    w.check("it keeps the rows of our line", "non-main" in
            lines[-1]["error"], lines)
    weir.run(schema, "migrate", "down", NEWEST, 0)
    river.run(schema, "migrate", "down", 0)
    w.same("to nothing, when ours is gone", catalog(schema), {})


@case("version 7 is worked", ("gw", "wg"), migrated=False)
def seven(w, schema, _, a, b):
    w.river.run(schema, "migrate", "up", 7)
    # Ours beside it; River's stays as it is unless it is asked for.
    w.weir.run(schema, "migrate", "down", 7, 2)
    w.same("it is 7", versions(schema), list(range(1, 8)))
    job, = a.ids(schema, {"kind": "ok"})
    with b.work(schema):
        until("it is done", lambda: jobs(schema)[job]["state"] == "completed")
    w.same("it still is", versions(schema), list(range(1, 8)))


@case("rows of other lines are kept", ("w",))
def other_lines(w, schema, _, weir):
    sql("INSERT INTO river_migration (line, version) VALUES ('pro', 1)",
        schema)
    weir.run(schema, "migrate")
    w.same("pro", versions(schema, "pro"), [1])
    w.same("ours", versions(schema, "weir"), [1, 2])
    w.same("no version twice", one(
        "SELECT count(*) AS n FROM river_migration WHERE line = 'main'",
        schema)["n"], NEWEST)
