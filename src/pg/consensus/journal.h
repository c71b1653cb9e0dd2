/*
 * journal.h: the member's journal as the consensus worker uses it: opened, checked against the genesis, folded into
 * what the replica starts from, then appended to.
 */
#pragma once

#include <memory>
#include <string>

#include "dadbs/core/messages.h"
#include "dadbs/pg/member.h"
#include "dadbs/storage/journal.h"

namespace dadbs::pg {

struct OpenJournal {
  std::unique_ptr<storage::JournalWriter> writer;
  core::RecoveredState recovered;
};

// A new member's journal is begun here. Throws PgError: kErrHalted where the journal is damaged, somebody else's, or
// gone although it has been begun before.
OpenJournal OpenMemberJournal(const Member& member, bool may_have_forgotten);

}  // namespace dadbs::pg
