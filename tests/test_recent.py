"""What was met lately."""

from app.recent import Recent


def test_what_was_not_met_for_longest_is_forgotten_first():
    recent = Recent[str, int](2)
    assert recent.note("a", 0) == 0
    recent.note("b", 1)
    assert recent.get("a") == 0  # met again
    recent.note("c", 2)
    assert ("a" in recent, "b" in recent, "c" in recent) == (True, False, True)
    assert recent.get("b") is None
    recent.note("a", 3)
    recent.note("d", 4)
    assert (recent.get("a"), recent.get("c"), recent.get("d")) == (3, None, 4)
