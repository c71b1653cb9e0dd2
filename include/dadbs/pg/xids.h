/*
 * xids.h: no transaction id of this server that a client has seen is given to another transaction after a crash.
 *
 * PostgreSQL gives an id again after a crash where nothing of it has reached the WAL on disk. On the chain an id says whose a
 * transaction is (dadbs.transaction_status(node, xid)), so that one that was lost must not be taken for a later one.
 *
 * $PGDATA/dadbs/xids holds a ceiling: 8 bytes, and their complement. No statement of the shared database ends while its
 * transaction's id is above it; it is raised ahead of need, once for each thousand ids or so. Before the member answers reads or
 * captures anything after a start, the apply worker uses up the ids to the ceiling.
 */
#pragma once

namespace dadbs::pg {

void NoteXid();          // a statement is about to end: its transaction's id, if it has one, may be told. Postgres code
void UseUpToldXids();    // the apply worker, once after a start. Throws PgError
bool ToldXidsAreUsedUp();

}  // namespace dadbs::pg
