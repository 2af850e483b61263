"""How many follow the change stream in one process."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from lastro.ledger.errors import TooManyReaders


@dataclass(slots=True)
class Readers:
    """Of one hub: each of them has a connection to the store, of which a server takes so many and no more."""

    most: int
    now: int = 0

    def require_room(self) -> None:
        """Raise TooManyReaders when there is room for none."""
        if self.now >= self.most:
            raise TooManyReaders(readers_max=self.most)

    @contextmanager
    def place(self) -> Iterator[None]:
        """One reader's, while it reads. Raises TooManyReaders."""
        self.require_room()
        self.now += 1
        try:
            yield
        finally:
            self.now -= 1
