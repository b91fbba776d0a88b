"""How the Query protocol spells lists, maps and numbers: the tables in the sources say what the last
model does that had its words.
"""

import re

from test_model import MEMBERS_MISSING, MODEL, SHAPES, SOURCES


def table(file, after, row):
    """Rows of a table in the sources."""
    text = (SOURCES / file).read_text()
    text = text[text.index(after) :]
    return re.findall(row, text[: text.index("\n];" if after.startswith("const") else "\n}")])


def spelling(reference):
    """How the Query protocol spells a list or a map of the model: its kind and its words."""
    shape = SHAPES[reference["shape"]]
    inner = SHAPES[(shape["member"] if shape["type"] == "list" else shape["value"])["shape"]]
    is_deep = inner["type"] == "structure"
    assert shape["flattened"], reference
    if shape["type"] == "list":
        return shape["member"]["locationName"], "Entries" if is_deep else "List", ()
    word = reference.get("locationName") or shape["locationName"]
    words = (shape["key"]["locationName"], shape["value"]["locationName"])
    return word, "Objects" if is_deep else "Texts", words


def lists_and_maps(side):
    """Every list and map of requests or answers, inner ones too, as `(member, reference)`."""
    left = [operation[side]["shape"] for operation in MODEL["operations"].values() if side in operation]
    seen = set()
    while left:
        name = left.pop()
        if name in seen:
            continue
        seen.add(name)
        shape = SHAPES[name]
        left += [shape[part]["shape"] for part in ("member", "value") if part in shape]
        for member, reference in shape.get("members", {}).items():
            left.append(reference["shape"])
            kind = SHAPES[reference["shape"]]["type"]
            if kind in ("list", "map") and member not in MEMBERS_MISSING:
                yield name, member, reference


def test_requests_are_spelt_as_the_query_protocol_has_it():
    rows = table(
        "from_wire/query.rs",
        "const MEMBERS",
        r'\("(\w+)", "(\w+)", Shape::(\w+)(?:\("(\w+)", "(\w+)"\))?\)',
    )
    ours = {(word, member): (kind, one, other) for word, member, kind, one, other in rows}
    theirs = {}
    for _, member, reference in lists_and_maps("input"):
        word, kind, words = spelling(reference)
        # `Name` and `Value` is what objects are read by.
        words = ("", "") if kind == "Objects" and words == ("Name", "Value") else words or ("", "")
        theirs[word, member[0].upper() + member[1:]] = (kind, *words)
    # These came after this model; the newest one has no words for them.
    later = {("MessageSystemAttributeName", "MessageSystemAttributeNames")}
    assert {key: value for key, value in ours.items() if key not in later} == theirs
    numbers = {
        member
        for shape in SHAPES.values()
        for member, reference in shape.get("members", {}).items()
        if SHAPES[reference["shape"]]["type"] in ("integer", "long")
    }
    of_answers = {name for name in numbers if name.startswith("Approximate")} | {"StartedTimestamp"}
    assert set(table("from_wire/query.rs", "const NUMBERS", r'"(\w+)"')) == numbers - of_answers


def test_answers_are_spelt_as_the_query_protocol_has_it():
    rows = table(
        "to_wire/xml.rs",
        "fn shape(",
        r'"(\w+)"(?: \| "(\w+)")? => Shape::(\w+)(?:\(([^)]*)\))?',
    )
    ours = {}
    for one, other, kind, words in rows:
        for member in filter(None, (one, other)):
            ours[member] = (kind, tuple(re.findall(r"\w+", words)))
    theirs = {}
    for around, member, reference in lists_and_maps("output"):
        word, kind, words = spelling(reference)
        if member == "Successful":
            assert word == around.removesuffix("Result") + "ResultEntry"
            theirs[member] = ("Entries", ())
        elif kind in ("List", "Entries"):
            theirs[member] = ("List", (word,))
        else:
            theirs[member] = ("Map", (word, *words))
    assert ours == theirs
