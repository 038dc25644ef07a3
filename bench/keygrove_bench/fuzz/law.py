"""A law that an input breaks."""


class LawError(AssertionError):
    """One does not hold. `law` is its name."""

    def __init__(self, law: str, facts: str = "") -> None:
        super().__init__(f"{law}: {facts}" if facts else law)
        self.law = law


def same(law: str, found: object, wanted: object) -> None:
    """See that two values are equal, which is what the law says.

    Raises:
        LawError: they are not.
    """
    if found != wanted:
        raise LawError(law)
