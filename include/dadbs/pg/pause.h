/*
 * pause.h: a session that has the turn: apply stands still between two positions for it, and the watcher clears its way to locks.
 *
 * What it does then happens at one position for everybody who reads: nothing is applied and no local transaction commits meanwhile; they
 * wait, and go on. Ordering does not wait. The pause ends with the session's transaction, after its commit or rollback, or with
 * the session. One at a time. A worker set that restarts meanwhile takes the turn away: HoldsTurn() says so, and must be asked
 * before the commit.
 */
#pragma once

namespace dadbs::pg {

// In a transaction, not in a block of statements. Throws PgError: another session has it, or apply does not run.
void TakeTurn();
bool HoldsTurn();

}  // namespace dadbs::pg
