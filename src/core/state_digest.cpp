/*
 * state_digest.cpp: see state_digest.h; the bytes are described in docs/chain-format.md.
 */
#include "dadbs/core/state_digest.h"

#include <algorithm>

#include "dadbs/core/check.h"
#include "dadbs/core/quorum.h"
#include "replica_mutation.h"

namespace dadbs::core {
namespace {

enum class Part : uint8_t { kBlock = 1, kTransaction = 2, kEffect = 3 };

Writer Begin(Part part, const Digest& before) {
  Writer w;
  w.U8(static_cast<uint8_t>(part));
  w.Fixed(before);
  return w;
}

}  // namespace

void EffectsDigest::BeginBlock(Height height) {
  DADBS_CHECK(height == height_.next());
  height_ = height;
  Writer w = Begin(Part::kBlock, digest_);
  w.Num(height);
  digest_ = Hash(Domain::kEffects, w.Take());
}

void EffectsDigest::AddTransaction(uint32_t index, Verdict verdict, ByteView keys) {
  Writer w = Begin(Part::kTransaction, digest_);
  w.U32(index);
  w.U8(static_cast<uint8_t>(verdict));
  digest_ = Hash(Domain::kEffects, {w.Take(), keys});
}

void EffectsDigest::AddEffect(uint32_t index, std::string_view contract, ByteView change) {
  Writer w = Begin(Part::kEffect, digest_);
  w.U32(index);
  w.Str(contract);
  digest_ = Hash(Domain::kEffects, {w.Take(), change});
}

// ---- signed ---------------------------------------------------------------------------------------------------------

Bytes StateDigest::SigningBytes(const SignContext& ctx) const {
  Writer w = BeginSigned(Domain::kSignStateDigest, ctx, envelope);
  w.Num(height);
  w.Fixed(digest);
  return w.Take();
}

void StateDigest::Encode(Writer& w) const {
  w.Num(height);
  w.Fixed(digest);
  envelope.Encode(w);
}

bool StateDigest::Decode(Reader& r) {
  r.Num(height);
  r.Fixed(digest);
  envelope.Decode(r);
  return r.ok();
}

std::string CheckStateDigest(const StateDigest& d, const Genesis& genesis, const Verifier& verifier) {
  const Member* const member = genesis.Find(d.envelope.signer);
  if (member == nullptr) return "a digest of nobody";
  if (!verifier.Verify(member->key, d.SigningBytes({genesis.chain_id(), Epoch{1}}), d.envelope.signature)) return "a digest with a wrong signature";
  return "";
}

// ---- compared -------------------------------------------------------------------------------------------------------

DigestComparison::DigestComparison(NodeId self, size_t members) : self_(self), members_(members) {}

bool DigestComparison::Knows(NodeId signer, Height height, const Digest& digest) const {
  auto const of_member = said_.find(signer);
  if (of_member == said_.end()) return false;
  auto const found = of_member->second.find(height);
  return found != of_member->second.end() && found->second == digest;
}

// What a member says later of the same height counts: it may have been repaired.
void DigestComparison::Note(NodeId signer, Height height, const Digest& digest) {
  std::map<Height, Digest>& heights = said_[signer];
  if (MUTATED(kReplacedDigestCounts) && heights.contains(height) && heights[height] != digest) replaced_.emplace_back(height, heights[height]);
  heights[height] = digest;
  if (heights.size() > kKept) heights.erase(heights.begin());
  Compare(height);
}

std::optional<std::pair<Height, Digest>> DigestComparison::Latest(NodeId signer) const {
  auto const of_member = said_.find(signer);
  if (of_member == said_.end() || of_member->second.empty()) return std::nullopt;
  return *of_member->second.rbegin();
}

void DigestComparison::Compare(Height height) {
  std::map<Digest, size_t> counts;
  const Digest* mine = nullptr;
  size_t said = 0;
  for (const auto& [member, heights] : said_) {
    auto const found = heights.find(height);
    if (found == heights.end()) continue;
    if (member == self_) mine = &found->second;
    if (member == self_ && MUTATED(kOwnDigestUncounted)) continue;
    counts[found->second] += member == self_ && MUTATED(kOwnDigestTwice) ? 2 : 1;
    said++;
  }
  for (const auto& [at, digest] : replaced_)
    if (at == height) counts[digest]++, said++;
  if (mine == nullptr || counts.empty()) return;
  const size_t quorum = QuorumSize(members_) - (MUTATED(kDigestQuorumOffByOne) ? 1 : 0);
  const size_t unsaid = said < members_ && !MUTATED(kUnsaidIgnored) ? members_ - said : 0;
  auto const most = std::max_element(counts.begin(), counts.end(), [](const auto& a, const auto& b) { return a.second < b.second; });
  const bool is_shared = most->first == *mine || MUTATED(kAgreedUnequal);
  if (most->second >= quorum && is_shared) agreed_ = std::max(agreed_, height);
  if (finding_) return;
  if (most->second >= quorum && most->first != *mine) finding_ = Finding{false, height, agreed_};
  if (most->second + unsaid < quorum) finding_ = Finding{true, height, agreed_};
}

}  // namespace dadbs::core
