"""Which user a key belongs to, as the journal remembers it, and what earlier versions wrote under a key alone."""

from __future__ import annotations

from collections.abc import Iterable

from .journal import Journal

_LATER = "Whose purchases these are is asked again later."


def user_of(journal: Journal, account: str) -> str:
    """The user's id at CivitAI for a key's fingerprint; `""` while it is not known."""
    with journal.database.transaction(_LATER) as connection:
        row = connection.execute("SELECT user_id FROM users WHERE account = ?", (account,)).fetchone()
    return row[0] if row else ""


def learn_user(journal: Journal, account: str, user_id: str) -> None:
    """Remember whose a key is, and that all that was bought with it is that user's."""
    with journal.database.transaction(_LATER) as connection:
        connection.execute("INSERT OR REPLACE INTO users (account, user_id) VALUES (?, ?)", (account, user_id))
        connection.execute("UPDATE purchases SET user_id = ? WHERE account = ? AND user_id = ''", (user_id, account))


def accounts(journal: Journal) -> list[str]:
    """The fingerprints of all keys that ever bought."""
    with journal.database.transaction(_LATER) as connection:
        return [row[0] for row in connection.execute("SELECT DISTINCT account FROM purchases").fetchall()]


def carry_over(journal: Journal, request_hash: str, earlier: Iterable[str], base: str) -> None:
    """Give the purchases that earlier versions filed under other hashes of the same request its hash of today."""
    hashes = list(earlier)
    marks = ", ".join("?" for _ in hashes)
    query = f"UPDATE purchases SET request_hash = ? WHERE base = ? AND request_hash IN ({marks})"
    with journal.database.transaction(_LATER) as connection:
        connection.execute(query, (request_hash, base, *hashes))
