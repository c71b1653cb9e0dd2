/*
 * digests.h: the exchange of digests (core/digest_exchange.h) in the consensus worker: between the blocks worker, which makes them,
 * and the network; what it finds goes to shared memory.
 */
#pragma once

#include <functional>
#include <optional>

#include "dadbs/core/digest_exchange.h"
#include "dadbs/core/messages.h"
#include "dadbs/pg/ipc.h"
#include "dadbs/pg/member.h"

namespace dadbs::pg {

class Digests {
 public:
  using Send = std::function<void(core::NodeId to, const core::Message&)>;  // kNobody: to all

  Digests(const Member& member, const core::Signer& signer);
  bool Due(int64_t now_us) const;
  // This member's, once the blocks worker has made it durable, and again from time to time.
  void Step(core::DigestExchange::Standing standing, int64_t now_us, const Send& send);
  void Greet(core::NodeId peer, const Send& send) const;
  void NoteClaim(core::NodeId from, const core::StatusMessage& status) { exchange_.NoteClaim(from, status.committed); }
  // What is wrong with it; empty: nothing.
  std::string Receive(core::NodeId from, const core::StateDigest& state, int64_t now_us);
  std::optional<std::pair<core::Height, core::Digest>> Latest(core::NodeId id) const { return exchange_.Latest(id); }

 private:
  void Publish();

  const Member& member_;
  core::DigestExchange exchange_;
  bool published_ = false;  // the finding: the first one stays, and a session may have seen the end of it
};

}  // namespace dadbs::pg
