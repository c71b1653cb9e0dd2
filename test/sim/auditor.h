/*
 * auditor.h: what must hold of silent divergence, whatever went wrong in a simulated run. It sees what each member's tables come
 * to, what each has said of it, and what each was shown; it does not use the code that compares digests.
 *
 *   said        an honest member says what its tables have come to, of heights that are durable in them; one digest for one
 *               history, another one for another, and never two for one height
 *   diverged    only who was shown q others with the same other digest; and while at most f members differ or lie, only who differs
 *   no quorum   only where, of what it was shown, no digest can reach one any more; never while at most f differ or lie
 *   agreed      a height where q have said what it has said itself, below the finding and below the first difference; no lower
 *               than the last one where it surely knew that
 *   at rest     some time after the chain stands still all who differ from q others know it, and all who run where none can be
 *               shared by q
 *   writes      who has found out, and has it durable, takes none any more
 *
 * That the order goes on is judged with all else (cluster.h). Members are told apart by their places, signers by their ids.
 */
#pragma once

#include <map>
#include <optional>
#include <set>
#include <vector>

#include "checker.h"
#include "dadbs/core/digest_exchange.h"
#include "model_database.h"

namespace dadbs::sim {

class Auditor {
 public:
  using Finding = core::DigestComparison::Finding;

  Auditor(const core::Genesis& genesis, int64_t check_interval_us)
      : genesis_(genesis), check_interval_us_(check_interval_us), truth_(genesis.chain_id()), histories_{truth_.history} {}
  void SetLiar(core::NodeId id) { liars_.insert(id.value); }

  void OnOrdered(const core::DeliverEffect& block);
  const std::vector<Work>& WorkAt(core::Height height) const { return work_.at(height.value - 1); }
  void OnExecuted(core::NodeId place, core::NodeId id, const Tables& tables);
  void OnClone(core::NodeId clone, core::NodeId original) { members_[clone.value] = members_[original.value]; }
  void OnStart(core::NodeId place) { lives_[place.value] = {}; }
  void OnSigned(const core::StateDigest& state) { made_.insert(Statement(state)); }  // by a liar, too
  void OnSaid(core::NodeId place, const core::StateDigest& state, core::Height durable);
  void OnShown(core::NodeId place, core::NodeId from, const core::StateDigest& state, core::Height delivered, int64_t wall_us);
  // After each event of the exchange.
  void Judge(core::NodeId place, core::NodeId id, const core::DigestExchange& exchange);
  void OnFoundDurably(core::NodeId place) { knows_.insert(place.value); }
  void OnTaken(core::NodeId place) const;

  struct AtRest {
    core::NodeId place, id;
    bool has_found;
  };
  // All that are honest, run and have had the time to hear each other.
  void JudgeAtRest(const std::vector<AtRest>& members) const;
  std::optional<core::Height> FirstDifference(core::NodeId place) const;
  size_t Differing() const;

 private:
  using Statement3 = std::tuple<uint16_t, core::Height, core::Digest>;
  struct Shown {
    std::set<core::Digest> digests;
    bool is_sure = false;  // it was looked at
  };
  struct Life {
    std::map<core::Height, core::Digest> said;
    std::map<core::Height, std::map<uint16_t, Shown>> shown;  // by signer
    std::map<uint16_t, std::set<int64_t>> heard_us;           // when anything came from him
    core::Height surely_agreed;
    std::optional<Finding> finding;
  };
  struct Histories {
    core::NodeId id;
    std::vector<uint64_t> by_height{0};
    std::optional<core::Height> first_difference;
  };
  static Statement3 Statement(const core::StateDigest& s) { return {s.envelope.signer.value, s.height, s.digest}; }
  size_t Others(const Life& life, core::Height height, const core::Digest& digest) const;
  void NoteSure(core::NodeId self, Life* life, core::Height height);
  void JudgeDiverged(core::NodeId place, const Life& life, const Finding& finding) const;
  void JudgeNoQuorum(core::NodeId place, core::NodeId id, const Life& life, const Finding& finding) const;
  std::set<uint16_t> FaultyAt(core::Height height) const;

  const core::Genesis& genesis_;
  int64_t check_interval_us_;
  Tables truth_;
  std::vector<uint64_t> histories_;  // by height, of tables that nothing has happened to
  std::vector<std::vector<Work>> work_;
  std::set<uint16_t> liars_, knows_;
  std::map<uint16_t, Histories> members_;
  std::map<uint16_t, Life> lives_;
  std::set<Statement3> made_;
  std::map<std::pair<uint16_t, core::Height>, core::Digest> ever_said_;  // by place
  std::map<std::pair<core::Height, uint64_t>, core::Digest> digest_of_;  // of a history
  std::map<std::pair<core::Height, core::Digest>, uint64_t> history_of_;
};

}  // namespace dadbs::sim
