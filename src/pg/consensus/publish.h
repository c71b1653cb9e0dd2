/*
 * publish.h: what the consensus worker tells the rest of the server about the member and its peers.
 *
 * It decides the member's state: one place, from the replica, the transport, the journal and the apply worker's
 * progress, so that dadbs.status, wait_for_ready and the refusal of writes say the same.
 */
#pragma once

#include <deque>
#include <map>
#include <string>
#include <vector>

#include "dadbs/core/replica.h"
#include "dadbs/net/transport.h"
#include "dadbs/pg/ipc.h"
#include "dadbs/pg/member.h"

namespace dadbs::pg {

struct PublishedInputs {
  core::ReplicaStatus replica;
  std::vector<net::PeerStats> peers;
  std::string journal_problem;  // empty: it can be written
  uint64_t journal_bytes = 0, journal_syncs = 0, refused_peers = 0;
  bool isolated = false;
  std::map<core::NodeId, std::pair<core::Height, core::Digest>> digests;  // the last that each member has signed
};

class StatusPublisher {
 public:
  explicit StatusPublisher(const Member& member);

  void NoteClaim(core::NodeId from, const core::StatusMessage& message);
  void Publish(const PublishedInputs& inputs, int64_t now_us);

 private:
  struct Decision {
    MemberState state;
    std::string reason, waiting_for;
  };
  struct Claim {
    uint64_t committed = 0, applied = 0;
  };

  Decision Diverged(const Divergence& found) const;
  Decision Decide(const PublishedInputs& inputs, int64_t now_us) const;
  Decision Rejoining(const PublishedInputs& inputs, uint64_t network, uint64_t applied) const;
  std::string Missing(const PublishedInputs& inputs, const std::vector<core::NodeId>& ids) const;
  std::string NameWithReason(const PublishedInputs& inputs, core::NodeId id) const;
  uint64_t NetworkHeight() const;
  void PublishCatchUp(const PublishedInputs& inputs, int64_t now_us);
  std::string Progress(uint64_t applied) const;
  std::string Names(const std::vector<core::NodeId>& ids) const;
  void FillNodes(const PublishedInputs& inputs);
  void Log(const Decision& decision);
  void LogView(const core::ReplicaStatus& replica);
  void LogMemory(const core::ReplicaStatus& replica);

  const Member& member_;
  std::map<core::NodeId, Claim> claims_;
  struct Sample {
    int64_t at_us = 0;
    uint64_t applied = 0;
  };
  std::deque<Sample> samples_;  // of some seconds, while it is behind
  int64_t behind_since_us_ = 0;
  CatchUp catch_up_ = {};
  std::string logged_;
  uint64_t logged_view_ = 0, logged_doubts_ = 0, logged_rejoined_ = 0;
  bool logged_entered_ = true;
};

}  // namespace dadbs::pg
