/*
 * messages.h: what members say to each other, and what the journal holds.
 *
 * These are the decoded forms. Signed bytes are made by chain.h; the wire form is protobuf (src/net/codec), the journal
 * form is the canonical encoding (src/core/journal_record.cpp).
 */
#pragma once

#include <memory>
#include <deque>
#include <map>
#include <variant>

#include "dadbs/core/chain.h"

namespace dadbs::core {

struct BatchMessage { std::shared_ptr<const Batch> batch; };           // origin -> all; or an answer to BatchRequest
struct BatchAck { NodeId origin; uint64_t incarnation = 0; uint64_t first_number = 0; Digest digest; };  // "I hold it"
struct BatchRequest { std::vector<Digest> digests; };
struct IncarnationMessage { IncarnationEntry entry; };
struct ProposalMessage {                                                // PRE-PREPARE
  View view;
  std::shared_ptr<const Block> block;
  Signed envelope;                                                      // Phase::kProposal over the block's hash
};
struct VoteMessage {                                                    // PREPARE and COMMIT
  Phase phase = Phase::kPrepare;
  Epoch epoch{1};
  View view;
  Height height;
  Digest hash;
  Signed envelope;
};
struct StatusMessage {                                                  // heartbeat, and "what I have"
  Height committed;
  Height applied;
  View view;
  uint64_t incarnation = 0;
  uint64_t journal_sequence = 0;
  uint32_t load_permille = 0;
};
struct BlockRequest { Height from; uint32_t count = 0; };
struct BlockMessage {                                                   // certified: verified by content
  std::shared_ptr<const Block> block;
  std::shared_ptr<const Certificate> certificate;
  std::vector<std::shared_ptr<const Batch>> batches;
};
using Message = std::variant<BatchMessage, BatchAck, BatchRequest, IncarnationMessage, ProposalMessage, VoteMessage,
                             StatusMessage, BlockRequest, BlockMessage>;

// ---- the journal's records -------------------------------------------------------------------------------------
struct GenesisRecord { Bytes genesis; NodeId self; };                   // first record of a journal
struct IncarnationRecord { IncarnationEntry entry; };                   // mine, before it leaves
struct BatchRecord { std::shared_ptr<const Batch> batch; };             // mine before it leaves, others' before I vote
struct ProposalRecord { ProposalMessage proposal; };                    // mine as primary; with my vote as a backup
struct PrepareRecord { VoteMessage vote; };
struct CommitRecord { VoteMessage vote; Certificate prepared; };
struct CommittedRecord {                                                // before delivery; batches stand before it
  std::shared_ptr<const Block> block;
  Certificate certificate;
};
// Repeated at each segment's head, so that older segments can be cut.
struct SegmentStateRecord {
  Epoch epoch{1};
  View view;
  Height committed;
  Digest committed_hash;
  int64_t committed_time_us = 0;
  uint64_t incarnation = 0;                                             // mine, the highest begun
  std::vector<std::pair<NodeId, std::pair<uint64_t, uint64_t>>> origins; // node -> (open incarnation, last number on chain)
  Bytes genesis;
  NodeId self;
};
using JournalRecord = std::variant<GenesisRecord, IncarnationRecord, BatchRecord, ProposalRecord, PrepareRecord, CommitRecord,
                                   CommittedRecord, SegmentStateRecord>;

Bytes EncodeRecord(const JournalRecord& record);  // u8 type, canonical fields
bool DecodeRecord(ByteView bytes, JournalRecord* out);

// What a restart knows: the fold of the journal's records, in order (RecoveredState::Apply for each).
struct RecoveredState {
  Genesis genesis;
  NodeId self;
  View view;
  Height committed;                    // last certified and journaled
  Digest committed_hash;
  int64_t committed_time_us = 0;
  uint64_t incarnation = 0;            // mine
  uint64_t journal_sequence = 0;       // of the last record
  std::map<uint16_t, std::pair<uint64_t, uint64_t>> origins;  // on the chain: open incarnation, last number
  // In flight above `committed`: exactly what was signed is sent again, never anything else.
  std::shared_ptr<const ProposalRecord> proposal;
  std::shared_ptr<const PrepareRecord> prepare;
  std::shared_ptr<const CommitRecord> commit;
  std::vector<std::shared_ptr<const Batch>> batches;   // held, not on the chain
  std::deque<BlockMessage> recent;                     // the last blocks, for laggards
  std::string Apply(const JournalRecord& record);      // empty, or why the journal contradicts itself
};

}  // namespace dadbs::core
