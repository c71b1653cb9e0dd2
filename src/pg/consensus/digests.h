/*
 * digests.h: the digests of what members have come to, on their way: this member's signed and sent, the others' compared with it.
 */
#pragma once

#include <functional>
#include <optional>

#include "dadbs/core/messages.h"
#include "dadbs/pg/ipc.h"
#include "dadbs/pg/member.h"

namespace dadbs::pg {

class Digests {
 public:
  using Send = std::function<void(core::NodeId to, const core::Message&)>;  // kNobody: to all

  Digests(const Member& member, const core::Signer& signer);
  bool Due(int64_t now_us) const;
  // This member's, once the blocks worker has made it durable, and again from time to time. `journal_sequence` is the last one
  // that is durable.
  void Step(uint64_t incarnation, uint64_t journal_sequence, int64_t now_us, const Send& send);
  void Greet(core::NodeId peer, const Send& send) const;
  // What is wrong with it; empty: nothing. `highest`: beyond it nobody can have come to anything.
  std::string Receive(core::NodeId from, const core::StateDigest& state, core::Height highest, int64_t now_us);
  std::optional<std::pair<core::Height, core::Digest>> Latest(core::NodeId id) const { return comparison_.Latest(id); }

 private:
  void TakeOwn(uint64_t incarnation, uint64_t journal_sequence);
  void CompareWithOwn(core::NodeId whose, core::Height height, const core::Digest& digest) const;
  void Publish();

  const Member& member_;
  const core::Signer& signer_;
  core::DigestComparison comparison_;
  std::optional<core::StateDigest> own_;
  int64_t sent_us_ = 0;
  std::map<core::NodeId, int64_t> checked_us_;  // when a signature of this member was last checked
};

}  // namespace dadbs::pg
