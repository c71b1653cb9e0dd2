/*
 * journal.cpp: see journal.h.
 *
 * A member whose journal is lost may have forgotten votes that it gave; starting over with an empty one it could vote
 * differently for the same height. So the first start leaves a mark beside the journal ("journal.begun"), and a marked
 * member with an empty journal is halted; unless its owner lets it rejoin: then it learns the chain from the others.
 */
#include "journal.h"

#include "dadbs/pg/boundary.h"
#include "dadbs/pg/errors.h"
#include "dadbs/pg/guc.h"
#include "dadbs/pg/ipc.h"

extern "C" {
#include <sys/stat.h>
}

namespace dadbs::pg {
namespace {

std::string MarkFile() { return MemberDirectory() + "/journal.begun"; }

bool IsMarked() {
  struct stat st;
  return stat(MarkFile().c_str(), &st) == 0;
}

[[noreturn]] void Fail(const storage::Error& error) {
  // The system's errors may pass; what the files say does not.
  throw PgError(error.error_number != 0 ? ERRCODE_IO_ERROR : kErrHalted,
                "the journal cannot be opened: " + error.message);
}

storage::JournalOptions Options() {
  storage::JournalOptions options;
  options.directory = JournalDirectory();
  options.segment_bytes = static_cast<uint64_t>(guc_journal_segment_mb) << 20;
  options.segments_kept = static_cast<uint32_t>(guc_journal_segments_kept);
  return options;
}

void BeginJournal(const Member& member, bool may_have_forgotten, OpenJournal* journal) {
  bool const can_learn = member.genesis.members.size() > 1;
  if (IsMarked() && !(may_have_forgotten && can_learn))
    throw PgError(kErrHalted, "the journal of this member is missing",
                  "Directory \"" + JournalDirectory() + "\" is empty, but votes were given from it before.",
                  std::string("Restore it, or set dadbs.journal_directory to where it is.") +
                      (can_learn ? " If it is lost, make file \"" + MemberDirectory() +
                                       "/rejoin\" and restart: the member then learns the chain from the others before it votes again."
                                 : ""));
  core::GenesisRecord const record{member.genesis_bytes, member.self};
  uint64_t const sequence = journal->writer->next_sequence();
  storage::Error error;
  if (!journal->writer->Append(sequence, record, &error) || !journal->writer->Sync(&error)) Fail(error);
  std::string const problem = journal->recovered.Apply(record, sequence);
  DADBS_CHECK(problem.empty());
  WriteFileDurably(MarkFile(), core::AsBytes("the journal of this member has been begun\n"), 0600);
}

}  // namespace

OpenJournal OpenMemberJournal(const Member& member, bool may_have_forgotten) {
  OpenJournal journal;
  storage::Error error;
  bool empty = true;
  journal.writer = storage::JournalWriter::Open(
      Options(),
      [&](uint64_t sequence, core::JournalRecord&& record) {
        empty = false;
        return journal.recovered.Apply(record, sequence);
      },
      &error);
  if (!journal.writer) Fail(error);
  if (std::string const why = journal.recovered.End(); !why.empty())
    Fail({"the journal in \"" + JournalDirectory() + "\" makes no sense: it ends with " + why});
  if (empty) BeginJournal(member, may_have_forgotten, &journal);
  if (journal.recovered.genesis.chain_id() != member.genesis.chain_id() || journal.recovered.self != member.self)
    throw PgError(kErrHalted, "the journal in \"" + JournalDirectory() + "\" is not this member's",
                  "It was begun by another node, or for another cluster.");
  if (!IsMarked()) WriteFileDurably(MarkFile(), core::AsBytes("the journal of this member has been begun\n"), 0600);
  return journal;
}

}  // namespace dadbs::pg
