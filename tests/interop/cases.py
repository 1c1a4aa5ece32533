"""The list of cases, and how one gets into it."""

CASES = []

PAIRS = ("gg", "ww", "gw", "wg")
ACROSS = ("gw", "wg")
EACH = ("g", "w")


class Case:
    def __init__(self, name, run, ways, needs_river, migrated):
        self.name, self.run, self.ways = name, run, ways
        self.needs_river, self.migrated = needs_river, migrated


def case(name, ways=PAIRS, needs_river=False, migrated=True):
    """ways: who takes the parts, "g" for go and "w" for weir; the function
    gets the world, a schema, these letters, and a side for each of them."""
    def add(function):
        CASES.append(Case(name, function, ways, needs_river, migrated))
        return function
    return add
