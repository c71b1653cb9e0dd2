/*
 * journal_record.cpp: the canonical bytes of the journal's records: u8 type, then the fields in the order of
 * messages.h.
 *
 * The journal's own checksum guards against a bad disk; decoding still believes nothing, so that a damaged or foreign
 * file ends in a message that says where, never in a crash.
 */
#include "dadbs/core/check.h"
#include "dadbs/core/messages.h"

namespace dadbs::core {

void EncodeVote(Writer& w, const VoteMessage& vote) {
  w.U8(static_cast<uint8_t>(vote.phase));
  w.Num(vote.epoch);
  w.Num(vote.view);
  w.Num(vote.height);
  w.Fixed(vote.hash);
  vote.envelope.Encode(w);
}

void DecodeVote(Reader& r, VoteMessage* out) {
  const uint8_t phase = r.U8();
  if (phase != static_cast<uint8_t>(Phase::kPrepare) && phase != static_cast<uint8_t>(Phase::kCommit)) r.Fail();
  out->phase = static_cast<Phase>(phase);
  r.Num(out->epoch);
  r.Num(out->view);
  r.Num(out->height);
  r.Fixed(out->hash);
  out->envelope.Decode(r);
}

namespace {

enum class Type : uint8_t {
  kGenesis = 1,
  kIncarnation = 2,
  kBatch = 3,
  kProposal = 4,
  kPrepare = 5,
  kCommit = 6,
  kCommitted = 7,
  kSegmentState = 8,
  kViewChange = 9,
  kNewView = 10,
  kMemory = 11,
  kSegmentStateAndMemory = 12,  // where the memory is not simply intact
};

// ---- parts ---------------------------------------------------------------------------------------------------------

void ReadVote(Reader& r, Phase phase, VoteMessage* out) {
  DecodeVote(r, out);
  if (out->phase != phase) r.Fail();
}

void WriteBlock(Writer& w, const std::shared_ptr<const Block>& block) {
  DADBS_CHECK(block != nullptr);
  w.Blob(block->Encode());
}

void ReadBlock(Reader& r, std::shared_ptr<const Block>* out) {
  auto block = std::make_shared<Block>();
  if (!Block::Decode(r.Blob(), block.get())) r.Fail();
  *out = std::move(block);
}

void ReadCertificate(Reader& r, Certificate* out) {
  if (!Certificate::Decode(r.Blob(), out)) r.Fail();
}

void WriteChainState(Writer& w, const ChainState& chain) {
  DADBS_CHECK(chain.origins.size() <= kNodesMax && chain.recent_hashes.size() <= kIncarnationLifetimeBlocks);
  w.Fixed(chain.chain_id);
  w.Num(chain.epoch);
  w.Num(chain.height);
  w.Fixed(chain.hash);
  w.I64(chain.time_us);
  w.U16(static_cast<uint16_t>(chain.origins.size()));
  for (const auto& [node, origin] : chain.origins) {
    w.U16(node);
    w.U64(origin.incarnation);
    w.U64(origin.last_number);
  }
  w.U16(static_cast<uint16_t>(chain.recent_hashes.size()));
  for (const Digest& hash : chain.recent_hashes) w.Fixed(hash);
}

void ReadChainState(Reader& r, ChainState* out) {
  r.Fixed(out->chain_id);
  r.Num(out->epoch);
  r.Num(out->height);
  r.Fixed(out->hash);
  out->time_us = r.I64();
  const size_t origins = r.U16();
  if (origins > kNodesMax) r.Fail();
  for (size_t i = 0; r.ok() && i < origins; i++) {
    const uint16_t node = r.U16();
    if (!out->origins.empty() && node <= out->origins.rbegin()->first) r.Fail();
    OriginState& origin = out->origins[node];
    origin.incarnation = r.U64();
    origin.last_number = r.U64();
  }
  const size_t hashes = r.U16();
  if (hashes > kIncarnationLifetimeBlocks) r.Fail();
  for (size_t i = 0; r.ok() && i < hashes; i++) r.Fixed(out->recent_hashes.emplace_back());
}

Bytes ReadBytes(Reader& r) {
  const ByteView bytes = r.Blob();
  return {bytes.begin(), bytes.end()};
}

template <class Entry>
bool ReadItem(Reader& r, Entry* out) {
  Item item;
  if (!DecodeItem(r, &item) || !std::holds_alternative<Entry>(item)) {
    r.Fail();
    return false;
  }
  *out = std::get<Entry>(std::move(item));
  return true;
}

// ---- records -------------------------------------------------------------------------------------------------------

void Write(Writer& w, const GenesisRecord& record) {
  w.U8(static_cast<uint8_t>(Type::kGenesis));
  w.Blob(record.genesis);
  w.Num(record.self);
}

void Read(Reader& r, GenesisRecord* out) {
  out->genesis = ReadBytes(r);
  r.Num(out->self);
}

void Write(Writer& w, const IncarnationRecord& record) {
  w.U8(static_cast<uint8_t>(Type::kIncarnation));
  EncodeItem(w, record.entry);
}

void Read(Reader& r, IncarnationRecord* out) { ReadItem(r, &out->entry); }

void Write(Writer& w, const BatchRecord& record) {
  DADBS_CHECK(record.batch != nullptr);
  w.U8(static_cast<uint8_t>(Type::kBatch));
  EncodeItem(w, record.batch->header);
  // As EncodeBatchBody, but in place: a body may have hundreds of megabytes.
  const std::vector<Bytes>& write_sets = record.batch->write_sets;
  size_t bytes = 4;
  for (const Bytes& write_set : write_sets) bytes += 4 + write_set.size();
  w.Reserve(w.size() + bytes);
  w.U32(static_cast<uint32_t>(write_sets.size()));
  for (const Bytes& write_set : write_sets) w.Blob(write_set);
}

void Read(Reader& r, BatchRecord* out) {
  auto batch = std::make_shared<Batch>();
  if (ReadItem(r, &batch->header) &&
      (!DecodeBatchBody(r.Raw(r.remaining()), &batch->write_sets) || batch->write_sets.size() != batch->header.count))
    r.Fail();
  out->batch = std::move(batch);
}

void Write(Writer& w, const ProposalRecord& record) {
  w.U8(static_cast<uint8_t>(Type::kProposal));
  w.Num(record.proposal.view);
  WriteBlock(w, record.proposal.block);
  record.proposal.envelope.Encode(w);
}

void Read(Reader& r, ProposalRecord* out) {
  r.Num(out->proposal.view);
  ReadBlock(r, &out->proposal.block);
  out->proposal.envelope.Decode(r);
}

void Write(Writer& w, const PrepareRecord& record) {
  w.U8(static_cast<uint8_t>(Type::kPrepare));
  EncodeVote(w, record.vote);
}

void Read(Reader& r, PrepareRecord* out) { ReadVote(r, Phase::kPrepare, &out->vote); }

void Write(Writer& w, const CommitRecord& record) {
  w.U8(static_cast<uint8_t>(Type::kCommit));
  EncodeVote(w, record.vote);
  w.Blob(record.prepared.Encode());
}

void Read(Reader& r, CommitRecord* out) {
  ReadVote(r, Phase::kCommit, &out->vote);
  ReadCertificate(r, &out->prepared);
}

void Write(Writer& w, const CommittedRecord& record) {
  w.U8(static_cast<uint8_t>(Type::kCommitted));
  WriteBlock(w, record.block);
  w.Blob(record.certificate.Encode());
}

void Read(Reader& r, CommittedRecord* out) {
  ReadBlock(r, &out->block);
  ReadCertificate(r, &out->certificate);
}

void WriteMemory(Writer& w, const MemoryState& state) {
  w.U8(static_cast<uint8_t>(state.memory));
  w.U64(state.floor);
  w.U64(state.remembered);
}

void ReadMemory(Reader& r, MemoryState* out) {
  const uint8_t memory = r.U8();
  if (memory > static_cast<uint8_t>(Memory::kFenced)) r.Fail();
  out->memory = static_cast<Memory>(memory);
  out->floor = r.U64();
  out->remembered = r.U64();
}

void Write(Writer& w, const MemoryRecord& record) {
  w.U8(static_cast<uint8_t>(Type::kMemory));
  WriteMemory(w, record.state);
}

void Read(Reader& r, MemoryRecord* out) { ReadMemory(r, &out->state); }

void Write(Writer& w, const SegmentStateRecord& record) {
  const bool plain = record.memory == MemoryState{};
  w.U8(static_cast<uint8_t>(plain ? Type::kSegmentState : Type::kSegmentStateAndMemory));
  WriteChainState(w, record.chain);
  w.Num(record.view);
  w.U64(record.incarnation);
  w.Blob(record.genesis);
  w.Num(record.self);
  if (!plain) WriteMemory(w, record.memory);
}

void Read(Reader& r, SegmentStateRecord* out) {
  ReadChainState(r, &out->chain);
  r.Num(out->view);
  out->incarnation = r.U64();
  out->genesis = ReadBytes(r);
  r.Num(out->self);
}

void WriteOptionalBlock(Writer& w, const std::shared_ptr<const Block>& block) {
  w.U8(block ? 1 : 0);
  if (block) WriteBlock(w, block);
}

void ReadOptionalBlock(Reader& r, std::shared_ptr<const Block>* out) {
  const uint8_t tag = r.U8();
  if (tag > 1) r.Fail();
  if (tag == 1) ReadBlock(r, out);
}

void Write(Writer& w, const ViewChangeRecord& record) {
  w.U8(static_cast<uint8_t>(Type::kViewChange));
  record.message.change.Encode(w);
  WriteOptionalBlock(w, record.message.block);
}

void Read(Reader& r, ViewChangeRecord* out) {
  out->message.change.Decode(r);
  ReadOptionalBlock(r, &out->message.block);
}

void Write(Writer& w, const NewViewRecord& record) {
  w.U8(static_cast<uint8_t>(Type::kNewView));
  record.message.start.Encode(w);
  WriteOptionalBlock(w, record.message.block);
}

void Read(Reader& r, NewViewRecord* out) {
  out->message.start.Decode(r);
  ReadOptionalBlock(r, &out->message.block);
}

template <class Record>
bool ReadAs(Reader& r, JournalRecord* out) {
  Read(r, &out->emplace<Record>());
  return r.Done();
}

bool ReadStateAndMemory(Reader& r, JournalRecord* out) {
  auto& state = out->emplace<SegmentStateRecord>();
  Read(r, &state);
  ReadMemory(r, &state.memory);
  if (state.memory == MemoryState{}) r.Fail();  // that has the other type
  return r.Done();
}

}  // namespace

Bytes EncodeRecord(const JournalRecord& record) {
  Writer w;
  std::visit([&](const auto& r) { Write(w, r); }, record);
  return w.Take();
}

bool DecodeRecord(ByteView bytes, JournalRecord* out) {
  Reader r(bytes);
  switch (static_cast<Type>(r.U8())) {
    case Type::kGenesis:
      return ReadAs<GenesisRecord>(r, out);
    case Type::kIncarnation:
      return ReadAs<IncarnationRecord>(r, out);
    case Type::kBatch:
      return ReadAs<BatchRecord>(r, out);
    case Type::kProposal:
      return ReadAs<ProposalRecord>(r, out);
    case Type::kPrepare:
      return ReadAs<PrepareRecord>(r, out);
    case Type::kCommit:
      return ReadAs<CommitRecord>(r, out);
    case Type::kCommitted:
      return ReadAs<CommittedRecord>(r, out);
    case Type::kSegmentState:
      return ReadAs<SegmentStateRecord>(r, out);
    case Type::kSegmentStateAndMemory:
      return ReadStateAndMemory(r, out);
    case Type::kMemory:
      return ReadAs<MemoryRecord>(r, out);
    case Type::kViewChange:
      return ReadAs<ViewChangeRecord>(r, out);
    case Type::kNewView:
      return ReadAs<NewViewRecord>(r, out);
  }
  return false;
}

}  // namespace dadbs::core
