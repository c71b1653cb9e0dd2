/*
 * messages.h: what members say to each other, and what the journal holds.
 *
 * These are the decoded forms. Signed bytes are made by chain.h; the wire form is protobuf (src/net/codec), the journal
 * form is the canonical encoding (src/core/journal_record.cpp). A decoder checks the k...Max limits below before it
 * takes memory, and never gives a null pointer.
 */
#pragma once

#include <deque>
#include <map>
#include <memory>
#include <variant>

#include "dadbs/core/attestation.h"
#include "dadbs/core/chain.h"
#include "dadbs/core/chain_state.h"
#include "dadbs/core/state_digest.h"
#include "dadbs/core/view_change.h"

namespace dadbs::core {

inline constexpr uint32_t kDigestsPerRequestMax = 4096;
inline constexpr uint32_t kBlocksPerRequestMax = 1024;
inline constexpr size_t kHistoryPieceBytesMax = 256u << 10;

struct BatchMessage { std::shared_ptr<const Batch> batch; };           // origin -> all; or an answer to BatchRequest
// "I hold it, in my journal": lets a proposal name a large batch. Unsigned: it only says what may be proposed, a vote
// still needs the batch. Counted for the connection it came from.
struct BatchAck { NodeId origin; uint64_t incarnation = 0; uint64_t first_number = 0; Digest digest; };
struct BatchRequest { std::vector<Digest> digests; };                   // at most kDigestsPerRequestMax
struct IncarnationMessage { IncarnationEntry entry; };
// PRE-PREPARE. The envelope is the primary's own PREPARE over (view, height, hash): it counts as its vote, and stands
// in prepare certificates like any other.
struct ProposalMessage {
  View view;
  std::shared_ptr<const Block> block;
  Signed envelope;
};
struct VoteMessage {                                                    // PREPARE of a backup, COMMIT
  Phase phase = Phase::kPrepare;
  Epoch epoch{1};
  View view;
  Height height;
  Digest hash;
  Signed envelope;
};
// Heartbeat, and "what I have". A hint whom to ask: nothing is decided by it.
struct StatusMessage {
  Height committed;                                                     // certified and journaled
  Height applied;
  View view;
  uint64_t incarnation = 0;
  uint64_t journal_sequence = 0;
  uint32_t load_permille = 0;
};
struct BlockRequest { Height from; uint32_t count = 0; };               // at most kBlocksPerRequestMax
// A certified block: believed for its certificate, whoever sends it. Bodies may be missing (they are asked for by
// digest then); those that are there stand in the order of the block's batch items.
struct BlockMessage {
  std::shared_ptr<const Block> block;
  std::shared_ptr<const Certificate> certificate;
  std::vector<std::shared_ptr<const Batch>> batches;
  uint32_t remaining = 0;                                               // blocks of the same answer that follow
};
// The block of the prepare certificate goes with it, so that the new primary can propose it again.
struct ViewChangeMessage {
  ViewChange change;
  std::shared_ptr<const Block> block;                                   // null: nothing is prepared
};
struct NewViewMessage {
  NewView start;
  std::shared_ptr<const Block> block;                                   // that the view is bound to; null: none
};
// "Do I remember all that I have signed?" The nonce is fresh for each start of the asker.
struct AttestationRequest { Nonce nonce; };
struct AttestationMessage { Attestation attestation; };                 // the answer
// What the signer has come to: an alarm for whoever differs. Nothing of consensus depends on it.
struct StateDigestMessage { StateDigest state; };
// Of the sender's history, for a member that mends its own: length-prefixed BlockOutcomes or StoredBlocks (outcomes.h), one behind the
// other, as one stream in pieces. Not for the replica.
enum class HistoryPart : uint8_t { kOutcomes = 1, kBlocks = 2 };
struct HistoryRequest {
  uint64_t number = 0;                                                  // of the asker; the answer says it again
  HistoryPart part = HistoryPart::kOutcomes;
  Height from;
  uint64_t offset = 0;                                                  // bytes of that height's element that the asker has
};
struct HistoryMessage {
  uint64_t number = 0;
  Height next;                                                          // where the stream goes on
  uint64_t offset = 0;
  Bytes bytes;                                                          // at most kHistoryPieceBytesMax; none: there is no more
};
using Message = std::variant<BatchMessage, BatchAck, BatchRequest, IncarnationMessage, ProposalMessage, VoteMessage,
                             StatusMessage, BlockRequest, BlockMessage, ViewChangeMessage, NewViewMessage,
                             AttestationRequest, AttestationMessage, StateDigestMessage, HistoryRequest, HistoryMessage>;

// ---- the journal's records -----------------------------------------------------------------------------------------
// The replica numbers the records that it appends, contiguously; it never appends GenesisRecord or SegmentStateRecord.
struct GenesisRecord { Bytes genesis; NodeId self; };                   // first record of a journal
struct IncarnationRecord { IncarnationEntry entry; };                   // mine, before it leaves
struct BatchRecord { std::shared_ptr<const Batch> batch; };             // mine before it leaves, others' before I vote;
                                                                        // the same one may stand there several times
struct ProposalRecord { ProposalMessage proposal; };                    // mine as primary, with my PREPARE; others'
                                                                        // before my PREPARE
struct PrepareRecord { VoteMessage vote; };
struct CommitRecord { VoteMessage vote; Certificate prepared; };
struct CommittedRecord {                                                // before delivery; batches stand before it
  std::shared_ptr<const Block> block;
  Certificate certificate;
};
// Does this member remember all that it has signed?
enum class Memory : uint8_t {
  kIntact = 0,     // as far as it and those whom it has asked know; it may sign
  kUnchecked = 1,  // it has begun to append before it had asked; signs nothing yet
  kLearner = 2,    // no: it signs nothing until it has come back in a new era
  kFenced = 3,     // another server runs with its key
};
struct MemoryState {
  Memory memory = Memory::kIntact;
  uint64_t floor = 0;       // signatures of incarnations below are of a life that it knows to have forgotten
  uint64_t remembered = 0;  // where the journal that is remembered ends; for kUnchecked
  bool operator==(const MemoryState&) const = default;
};
// Repeated at each segment's head by the journal writer, so that older segments can be cut.
struct SegmentStateRecord {
  ChainState chain;                                                     // of the last block committed
  View view;
  uint64_t incarnation = 0;                                             // mine, the highest begun
  Bytes genesis;
  NodeId self;
  MemoryState memory;
};
struct ViewChangeRecord { ViewChangeMessage message; };                // mine, before it leaves: the promise
struct NewViewRecord { NewViewMessage message; };                      // mine before it leaves; others' before I vote in it
struct MemoryRecord { MemoryState state; };                            // before anything follows from it
using JournalRecord = std::variant<GenesisRecord, IncarnationRecord, BatchRecord, ProposalRecord, PrepareRecord,
                                   CommitRecord, CommittedRecord, SegmentStateRecord, ViewChangeRecord, NewViewRecord,
                                   MemoryRecord>;

// A PREPARE or COMMIT, as records and evidence hold it.
void EncodeVote(Writer& w, const VoteMessage& vote);
void DecodeVote(Reader& r, VoteMessage* out);

Bytes EncodeRecord(const JournalRecord& record);  // u8 type, canonical fields
bool DecodeRecord(ByteView bytes, JournalRecord* out);

// The newest signatures of a member that another one has come across, to be shown to it when it asks.
struct SeenOf {
  std::pair<uint64_t, uint64_t> newest;  // incarnation, journal sequence; perhaps of what is not kept
  std::optional<VoteMessage> vote;
  std::optional<VoteMessage> former;     // the furthest of the incarnations before that: perhaps of a life that is forgotten
  std::optional<IncarnationEntry> entry;

  void Note(uint64_t incarnation, uint64_t sequence);
  void Note(const VoteMessage& its_vote);
  void NoteFormer(const VoteMessage& its_vote);
  void Note(const IncarnationEntry& begun);
};
using SeenOfAll = std::map<uint16_t, SeenOf>;  // by signer

void NoteSeen(const Certificate& certificate, SeenOfAll* seen);
void NoteSeen(const Block& block, SeenOfAll* seen);

// What a restart knows: the fold of the journal's records, in order.
struct RecoveredState {
  Genesis genesis;
  NodeId self;
  View view;                           // the highest promised
  bool entered = true;                 // by NEW-VIEW or by a block certified in it; else no vote may be given
  ChainState chain;                    // of the last block that is certified and journaled
  std::shared_ptr<const Certificate> head;  // of that block; null where the journal does not hold it
  uint64_t incarnation = 0;            // mine, the highest begun
  uint64_t journal_sequence = 0;       // of the last record; the replica goes on behind it
  // In flight above chain.height: exactly what was signed is sent again, never anything else.
  std::shared_ptr<const ProposalRecord> proposal;
  std::shared_ptr<const PrepareRecord> prepare;
  std::shared_ptr<const CommitRecord> commit;
  std::shared_ptr<const Block> prepared;  // the block of `commit`
  std::shared_ptr<const ViewChangeRecord> view_change;  // mine for `view`, until that is entered
  std::shared_ptr<const NewViewRecord> new_view;        // of `view`
  MemoryState memory;
  const char* doubt = nullptr;         // the owner's reason not to trust this journal; null: none
  bool awaits_tables = false;          // nothing is signed before OnTables has said where they are
  SeenOfAll seen;                      // in the blocks and certificates of the journal
  std::map<Digest, std::shared_ptr<const Batch>> batches;  // held, not on the chain; by digest
  std::deque<BlockMessage> recent;                     // the last blocks, for laggards; within these bounds:
  uint64_t recent_bytes = 0;           // of `recent`
  size_t recent_blocks_max = 256;
  uint64_t recent_bytes_max = 16u << 20;

  // Empty, or why the journal contradicts itself (damage, or somebody else's journal): the member must not start.
  std::string Apply(const JournalRecord& record, uint64_t sequence);
  std::string End() const;             // the same, after the last record
  std::optional<Height> cut_at;        // the fold began there, at a segment's head: what stood before was cut
};

// Bytes that a message or block keeps in memory, for bounds.
uint64_t BodyBytes(const Batch& batch);
uint64_t BodyBytes(const BlockMessage& message);

}  // namespace dadbs::core
