/*
 * evidence.h: proof that a member has signed what no member that keeps the rules signs.
 *
 * Guilt is, and nothing else:
 *   votes          two votes of one member for different blocks in one slot: chain, epoch, incarnation, phase, view, height
 *   batches        two batches of one member that share a transaction number of one incarnation and are not the same
 *   invalid block  a vote for a block that is wrong by its own bytes: header, items, and the header of its parent
 *
 * A proof stands for itself: who checks it needs the genesis, so the members' public keys, and nobody's word. Each signature
 * in it is the accused one's own, over all fields that make the slot. So nothing that others send can make one against a
 * member that keeps to what is in its journal. A life that does not remember what an older one has signed signs in another
 * incarnation, so a crash or a restored backup makes none either; what is left is in docs/protocol.md, section 9c.
 *
 * What could be explained otherwise is no evidence: another digest, a write set that makes no sense, a strange clock, a
 * certificate that nobody has signed in an envelope without signature. Those are faults, which are counted.
 *
 * Format: docs/chain-format.md, section 9b. A proof has one encoding.
 */
#pragma once

#include <deque>
#include <optional>
#include <set>
#include <string>
#include <variant>

#include "dadbs/core/messages.h"

namespace dadbs::core {

inline constexpr uint8_t kEvidenceFormat = 1;
inline constexpr size_t kEvidenceBytesMax = 1u << 20;
inline constexpr size_t kEvidencePerCulpritMax = 16;  // on the chain; what comes after is refused there

enum class EvidenceKind : uint8_t { kVotes = 1, kBatches = 2, kInvalidBlock = 3 };
const char* NameOf(EvidenceKind kind);  // "votes", "batches", "invalid block"

struct TwoVotes { VoteMessage first, second; };      // ascending by hash
struct TwoBatches { BatchHeader first, second; };    // ascending by digest
struct InvalidBlock {
  VoteMessage vote;
  Block block;
  std::optional<BlockHeader> parent;                 // only where the block is wrong as its child
};

struct Evidence {
  Digest chain_id;
  std::variant<TwoVotes, TwoBatches, InvalidBlock> proof;

  Bytes Encode() const;
  static bool Decode(ByteView bytes, Evidence* out);
  EvidenceKind kind() const { return static_cast<EvidenceKind>(proof.index() + 1); }
};

// In canonical order.
Evidence MakeEvidence(const Digest& chain_id, const VoteMessage& a, const VoteMessage& b);
Evidence MakeEvidence(const Digest& chain_id, const BatchHeader& a, const BatchHeader& b);

// Whose guilt, and where: one proof of each is enough. What does not belong to a kind is 0.
struct EvidenceSlot {
  NodeId culprit;
  EvidenceKind kind = EvidenceKind::kVotes;
  uint64_t incarnation = 0;
  uint8_t phase = 0;  // Phase
  View view;
  Height height;
  uint64_t number = 0;  // the first one that both batches have
  auto operator<=>(const EvidenceSlot&) const = default;
};
EvidenceSlot SlotOf(const Evidence& evidence);

// Empty: it proves that SlotOf(evidence).culprit is guilty. Else why it does not.
std::string CheckEvidence(const Evidence& evidence, const Genesis& genesis, const Verifier& verifier);

// The write set by which a member puts evidence onto the chain; the transaction has no other content.
Bytes MakeEvidenceWriteSet(ByteView evidence, Prefix base, const Salt& salt, int64_t now_us);
bool IsEvidenceWriteSet(ByteView write_set);
// What it holds, if it is one and the evidence can be read.
std::optional<Evidence> EvidenceOf(ByteView write_set);

// What this member has found and not put onto the chain yet. Many may find the same: each waits a while by its number, and
// whoever sees it on the chain forgets it. The owner submits what is due, as a transaction of this member; what is not on the chain some
// time later was lost on the way, and is due again.
class EvidenceToReport {
 public:
  EvidenceToReport(NodeId self, size_t members) : self_(self), members_(members) {}
  void Found(const Evidence& evidence, int64_t now_us);
  bool Awaits(const EvidenceSlot& slot) const;  // it is to be reported by this member, unless another one is first
  void OnChain(const EvidenceSlot& slot);
  std::optional<Bytes> TakeDue(int64_t now_us);
  size_t waiting() const { return waiting_.size(); }

 private:
  struct Waiting {
    EvidenceSlot slot;
    Bytes evidence;
    int64_t since_us = 0, due_us = 0;
    int64_t again_us = 0;  // how long after it was taken; 0: it was not yet
  };
  NodeId self_;
  size_t members_;
  std::deque<Waiting> waiting_;  // at most kEvidencePerCulpritMax for each member: the replica finds no more
  std::set<EvidenceSlot> on_chain_;
};

}  // namespace dadbs::core
