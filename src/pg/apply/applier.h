/*
 * applier.h: carries out the chain on this member, block by block, position by position. The apply worker owns the only
 * one; src/pg/apply/applier.cpp says how it works.
 */
#pragma once

#include <deque>
#include <memory>
#include <optional>
#include <vector>

#include "dadbs/core/certifier.h"
#include "dadbs/pg/apply.h"

#include "feed.h"
#include "impasse.h"
#include "work.h"

extern "C" {
#include "access/xlogdefs.h"
}

namespace dadbs::pg {

// Where this member stands, as its history says.
struct Recovered {
  core::Height whole;           // the last block of which everything is applied
  core::Prefix applied;
  uint32_t partial = 0;         // transactions applied of block whole + 1, if its row is there
  bool block_written = false;   // the row of block whole + 1 is there
};

// While one lives, a cancel (SIGINT) of the apply worker ends what is executed, which is this member's own failure: it is
// rolled back and executed again. At any other time a cancel is not even noted: it would end the worker, and all start again.
class Cancellable {
 public:
  Cancellable();
  ~Cancellable();
  Cancellable(const Cancellable&) = delete;
  Cancellable& operator=(const Cancellable&) = delete;
};
void HandleCancels();  // from the worker's start on

// Up to where the journal is durable.
storage::JournalPosition DurablePosition();

class Applier {
 public:
  Applier(core::NodeId self, core::Certifier certifier, const Recovered& recovered);

  // Applies what belongs to the block; some of it may be left in the open run.
  void Apply(const std::shared_ptr<const DeliveredBlock>& block);
  void Settle();  // commits the open run, if there is one
  void PublishDurable();
  bool durable_pending() const { return !undurable_.empty(); }

 private:
  // A part of a run: the rows of a block, or a transaction.
  struct Item {
    std::shared_ptr<const DeliveredBlock> block;  // null: a transaction
    std::shared_ptr<Work> work;
  };
  using Items = std::vector<Item>;
  using Works = std::vector<std::shared_ptr<Work>>;
  struct Link {  // of a chain of turns
    std::shared_ptr<Work> work;
    Grant grant;
    core::Bytes keys;
    dsm_segment* segment = nullptr;
    bool granted = false;
  };
  using Chain = std::vector<Link>;
  enum class Decision { kRefused, kExecute, kTakeTurn, kAfterChain };

  // applier.cpp: a block
  Works MakeWorks(const DeliveredBlock& block, uint32_t from) const;
  size_t ApplyFrom(const Works& works, size_t at);
  void NoteIncarnations(const core::Block& block);

  // certify.cpp: what becomes of a transaction
  Decision Decide(Work* work);
  void Parse(Work* work) const;
  void DeriveKeysOf(Work* work) const;
  Decision Certify(Work* work) const;
  Decision ChooseExecutor(Work* work) const;
  void RefuseConflict(Work* work, const core::Conflict& conflict, ConflictKind kind) const;
  void RefuseUnreadable(Work* work, const PgError& e) const;

  // run.cpp: positions executed here
  void OpenRun(int64_t block_time_us);
  void Add(const Item& item);
  bool RunIsFull() const;
  void CommitRun();
  Items AbortRun();
  void Carry(const Item& item);
  void Record(Work* work, const core::KeyList& all);
  void Execute(Work* work);
  void ExecuteCalls(Work* work);
  void ExecuteChanges(Work* work);
  void Redo(const Items& items);
  void Alone(const Item& item);
  bool IsEnough(Stack use, Work* work);
  void AwaitPassage(Work* work, const PgError& why);
  void Finish(const Item& item);
  void NoteApplied(core::Prefix applied);
  void BackOff(const PgError& e, const Work* work, int* attempt) const;
  void AnswerVote(const Work& work);

  // chain.cpp: positions executed by local backends
  size_t CollectChain(const Works& works, size_t at, Chain* chain);
  void PassTurns(Chain* chain);
  void GrantAll(Chain* chain);
  TurnState AwaitTurn(const Link& link) const;
  void Replay(Chain* chain, size_t lost);
  void DropChain(Chain* chain);

  core::NodeId self_;
  core::Certifier certifier_;     // committed positions, and those that are as good as
  std::optional<core::Position> undecided_from_;  // of the chain whose turns are not over: recorded, may be taken back
  Recovered recovered_;
  core::Height height_;           // of the block in work; of the last one otherwise
  LocalWaiters waiters_;
  VoteAnswers vote_answers_;

  bool open_ = false;             // a local transaction is open
  Items run_;                     // what it holds
  size_t run_bytes_ = 0, run_changes_ = 0;
  MemoryContext context_ = nullptr;  // of one position
  std::deque<std::pair<core::Height, XLogRecPtr>> undurable_;
};

}  // namespace dadbs::pg
