"""`sql_state`: a SQLite database of the world against the state it should be in.

Rules:
1. `changes`, `after` and `equals` judge the whole database: every table is compared, and what is
   not named must be as it was. `expect` and `queries` judge what they name, and the other tables
   too with `others_unchanged: true`.
2. `changes` is the initial database plus rows `inserted`, `updated` and `deleted`. An inserted row
   is met by a new row that has the given columns; the others (a generated id) are free. An updated
   row is found by its key and keeps what is not given.
3. `after` is SQL applied to the initial database; `equals` is SQL that makes the expected one from
   nothing. Both may be the name of a `.sql` file of the suite.
4. `expect` lists all rows of a table (those `where` holds), in the columns that the rows name.
5. Row order is free, numbers meet by value within `tolerance`, and `ignore` leaves out a table
   (`log`), a column (`orders.updated_at`) or a column of every table (`*.updated_at`).
6. An expected state that cannot be built, or changes a row that is not there, is a mistake of the
   case: not measured, never a pass.
"""

from __future__ import annotations

from typing import Literal

from proofrig.verifiers._sql_forms import Forms
from proofrig.verifiers._world import Unreadable
from proofrig.verifiers.verifier import Evidence, Verdict, Verifier


class SqlState(Forms, Verifier):
    """The database at `database` is in the described state."""

    type: Literal["sql_state"] = "sql_state"

    def needs(self) -> frozenset[str]:
        return frozenset({"world"})

    def verify(self, evidence: Evidence) -> Verdict:
        from proofrig.verifiers._sql_compare import problems  # loads sqlite3 where it is used

        try:
            told = problems(self, evidence)
        except Unreadable as error:
            return self.verdict(False, expected=self._wish(), got=str(error))
        count = f"{len(told)} difference{'s' if len(told) > 1 else ''}"
        got = count if told else "the same"
        return self.verdict(not told, expected=self._wish(), got=got, why="; ".join(told))

    def _wish(self) -> str:
        forms = ("expect", "changes", "after", "equals", "queries", "others_unchanged")
        asked = {form: getattr(self, form) for form in forms if form in self.model_fields_set}
        told = (
            f"{form} {', '.join(value)}" if isinstance(value, dict) else form
            for form, value in asked.items()
        )
        return f"{self.database} with {'; '.join(told)}"
