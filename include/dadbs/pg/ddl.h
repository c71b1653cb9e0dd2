/*
 * ddl.h: definitions that are shared: which statements are ordered, and their execution at the position.
 *
 * A statement that is alone in its transaction is not executed by the session: its text is ordered (HoldLoneDdl) and the
 * apply worker of every member, the origin's too, executes it. Inside a transaction block it is executed at once, by the
 * same executor, and travels as a 'Q' change of the write set, which is always replayed. Both sides check the statement
 * by the same rules: an origin that lies gets nothing else executed. See src/pg/ddl/ for how.
 */
#pragma once

#include "dadbs/core/certifier.h"
#include "dadbs/core/types.h"
#include "dadbs/core/write_set.h"

extern "C" {
#include "postgres.h"
}

namespace dadbs::pg {

// Installs the hooks (ProcessUtility, planner for setval, object_access). From _PG_init, after the GUCs.
void InitDdl();

// In the apply worker, in a transaction of the caller with now() fixed (recipe R4). The caller ends the local
// transaction after a position that holds DDL: what it made (enum values, the timestamp) is not for later positions of
// a run. Appends the definition keys that were written, with kExistence; none if nothing changed. Also writes
// dadbs_internal.relation_version. Throws PgError: the caller rolls back; what is not this member's own failure is
// `rejected`.
void ExecuteDdlAtPosition(const core::DdlChange& ddl, core::Position position, core::KeyList* keys);

// Before it runs: the definition keys that it names, in the catalogs as they are now. For the certification of a 'Q'
// change. What cannot be parsed has none (its execution is going to fail).
void DdlKeys(const core::DdlChange& ddl, core::KeyList* keys);

// Moves this member's copy of a shared sequence past `value`, in its own residue class; never backwards. For 'S' changes
// and for explicit ids that came in rows. Throws PgError.
void MoveSequencePast(Oid sequence, int64 value);

}  // namespace dadbs::pg
