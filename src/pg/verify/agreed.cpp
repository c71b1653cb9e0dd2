/*
 * agreed.cpp: see agreed.h.
 */
#include "agreed.h"

#include <map>
#include <set>

#include "dadbs/core/quorum.h"
#include "dadbs/pg/apply.h"
#include "dadbs/pg/clock.h"
#include "nap.h"

namespace dadbs::pg::verify {
namespace {

constexpr long kPollMs = 20;

std::string Between(core::Height from, core::Height to) {
  return " WHERE height >= " + std::to_string(from.value) + " AND height <= " + std::to_string(to.value);
}

bool IsOver(int64 begun_us, long wait_ms) { return MonotonicUs() - begun_us > wait_ms * 1000; }

// What members were seen to have signed, by height and digest.
class Heard {
 public:
  void Look(core::Height least) {
    LWLockAcquire(shared->lock, LW_SHARED);
    uint32 const count = std::min<uint32>(pg_atomic_read_u32(&shared->node_count), kNodesShownMax);
    for (uint32 i = 0; i < count; i++) {
      const NodeStatus& node = shared->nodes[i];
      core::Digest digest;
      memcpy(digest.bytes.data(), node.digest, sizeof(node.digest));
      if (node.digest_height >= std::max<uint64>(1, least.value)) said_[{node.digest_height, digest}].insert(core::NodeId{node.id});
    }
    LWLockRelease(shared->lock);
  }
  std::optional<Agreed> Newest(const Member& member, core::Height most) const {
    for (auto it = said_.rbegin(); it != said_.rend(); ++it)
      if (it->second.size() >= core::QuorumSize(member.genesis.members.size()) && it->first.first <= most.value)
        return Agreed{core::Height{it->first.first}, it->first.second, {it->second.begin(), it->second.end()}};
    return std::nullopt;
  }
  // Of the newest height at which a quorum has signed one and this member any.
  std::optional<bool> AgreesWithOwn(const Member& member) const {
    std::map<uint64, core::Digest> own;
    for (const auto& [what, who] : said_)
      if (who.contains(member.self)) own[what.first] = what.second;
    for (auto it = said_.rbegin(); it != said_.rend(); ++it)
      if (it->second.size() >= core::QuorumSize(member.genesis.members.size()) && own.contains(it->first.first))
        return own[it->first.first] == it->first.second;
    return std::nullopt;
  }

 private:
  std::map<std::pair<uint64, core::Digest>, std::set<core::NodeId>> said_;
};

}  // namespace

std::optional<Agreed> AwaitAgreedDigest(const Member& member, core::Height least, bool applied_here, long wait_ms) {
  Heard heard;
  for (int64 const begun_us = MonotonicUs();; Nap(kPollMs)) {
    heard.Look(least);
    core::Height const most = applied_here ? core::WholeBlocks(Applied()) : core::Height{UINT64_MAX};
    if (std::optional<Agreed> const agreed = heard.Newest(member, most)) return agreed;
    if (IsOver(begun_us, wait_ms)) return std::nullopt;
  }
}

bool AwaitOwnAgreement(const Member& member, core::Height least, long wait_ms) {
  Heard heard;
  for (int64 const begun_us = MonotonicUs();; Nap(kPollMs)) {
    heard.Look(least);
    if (std::optional<bool> const agrees = heard.AgreesWithOwn(member)) return *agrees;
    if (IsOver(begun_us, wait_ms)) return false;
  }
}

OwnOutcomes::OwnOutcomes(core::Height from, core::Height to)
    : next_(from),
      transactions_(("SELECT height, index::bigint, verdict::bigint, keys FROM dadbs_internal.transaction" + Between(from, to) +
                     " ORDER BY height, index").c_str(), 256),
      effects_(("SELECT height, index::bigint, ordinal::bigint, contract::text, change FROM dadbs_internal.contract_effect" + Between(from, to) +
                " ORDER BY height, index, contract::text COLLATE \"C\", change, ordinal").c_str(), 256) {}

core::BlockOutcomes OwnOutcomes::Next() {
  core::BlockOutcomes block;
  block.height = next_;
  auto const height = static_cast<int64>(next_.value);
  auto const copy = [](core::ByteView v) { return core::Bytes(v.begin(), v.end()); };
  for (; !transactions_.done() && transactions_.Number(1) == height; transactions_.Next())
    block.transactions.push_back({static_cast<uint32_t>(transactions_.Number(2)), static_cast<core::Verdict>(transactions_.Number(3)),
                                  copy(transactions_.Bytes(4))});
  for (; !effects_.done() && effects_.Number(1) == height; effects_.Next())
    block.effects.push_back({static_cast<uint32_t>(effects_.Number(2)), static_cast<uint32_t>(effects_.Number(3)), effects_.Text(4),
                             copy(effects_.Bytes(5))});
  next_ = next_.next();
  Call([] { CHECK_FOR_INTERRUPTS(); });
  return block;
}

}  // namespace dadbs::pg::verify
