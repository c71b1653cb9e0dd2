/*
 * codec.cpp: see codec.h. A new alternative of core::Message does not compile until it has an Encode here.
 */
#include "codec.h"

#include <cstdlib>

#include "dadbs.pb-c.h"
#include "dadbs/net/transport.h"

namespace dadbs::net {

using namespace core;

namespace {

// ---- encoding: wire structs point at what they encode, and are packed once ---------------------------------------

struct Packer {
  size_t header_bytes = 0;
  Bytes out;

  void operator()(const Dadbs__Wire__Envelope& envelope) {
    size_t bytes = dadbs__wire__envelope__get_packed_size(&envelope);
    out.resize(header_bytes + bytes);
    dadbs__wire__envelope__pack(&envelope, out.data() + header_bytes);
    for (size_t i = 0; i < header_bytes; i++) out[i] = static_cast<uint8_t>(bytes >> 8 * (header_bytes - 1 - i));
  }
};

Dadbs__Wire__Envelope Envelope(Dadbs__Wire__Envelope__BodyCase body) {
  Dadbs__Wire__Envelope envelope = DADBS__WIRE__ENVELOPE__INIT;
  envelope.body_case = body;
  return envelope;
}

ProtobufCBinaryData Span(ByteView bytes) { return {bytes.size(), const_cast<uint8_t*>(bytes.data())}; }

Bytes ItemBytes(const Item& item) {
  Writer w;
  EncodeItem(w, item);
  return w.Take();
}

struct SignedWire {
  Dadbs__Wire__Signed wire = DADBS__WIRE__SIGNED__INIT;
  explicit SignedWire(const Signed& s) {
    wire.signer = s.signer.value;
    wire.incarnation = s.incarnation;
    wire.journal_sequence = s.journal_sequence;
    wire.signature = Span(s.signature.view());
  }
};

struct BatchWire {
  Dadbs__Wire__Batch wire = DADBS__WIRE__BATCH__INIT;
  Bytes header;
  std::vector<ProtobufCBinaryData> write_sets;
  explicit BatchWire(const Batch& batch) : header(ItemBytes(batch.header)) {
    write_sets.reserve(batch.write_sets.size());
    for (const Bytes& write_set : batch.write_sets) write_sets.push_back(Span(write_set));
    wire.header = Span(header);
    wire.n_write_sets = write_sets.size();
    wire.write_sets = write_sets.data();
  }
  BatchWire(const BatchWire&) = delete;
};

void Encode(const BatchMessage& m, Packer& pack) {
  BatchWire batch(*m.batch);
  auto e = Envelope(DADBS__WIRE__ENVELOPE__BODY_BATCH);
  e.batch = &batch.wire;
  pack(e);
}

void Encode(const BatchAck& m, Packer& pack) {
  Dadbs__Wire__BatchAck ack = DADBS__WIRE__BATCH_ACK__INIT;
  ack.origin = m.origin.value;
  ack.incarnation = m.incarnation;
  ack.first_number = m.first_number;
  ack.digest = Span(m.digest.view());
  auto e = Envelope(DADBS__WIRE__ENVELOPE__BODY_BATCH_ACK);
  e.batch_ack = &ack;
  pack(e);
}

void Encode(const BatchRequest& m, Packer& pack) {
  std::vector<ProtobufCBinaryData> digests;
  for (const Digest& digest : m.digests) digests.push_back(Span(digest.view()));
  Dadbs__Wire__BatchRequest request = DADBS__WIRE__BATCH_REQUEST__INIT;
  request.n_digests = digests.size();
  request.digests = digests.data();
  auto e = Envelope(DADBS__WIRE__ENVELOPE__BODY_BATCH_REQUEST);
  e.batch_request = &request;
  pack(e);
}

void Encode(const IncarnationMessage& m, Packer& pack) {
  Bytes item = ItemBytes(m.entry);
  auto e = Envelope(DADBS__WIRE__ENVELOPE__BODY_INCARNATION);
  e.incarnation = Span(item);
  pack(e);
}

void Encode(const ProposalMessage& m, Packer& pack) {
  Bytes block = m.block->Encode();
  SignedWire envelope(m.envelope);
  Dadbs__Wire__Proposal proposal = DADBS__WIRE__PROPOSAL__INIT;
  proposal.view = m.view.value;
  proposal.block = Span(block);
  proposal.envelope = &envelope.wire;
  auto e = Envelope(DADBS__WIRE__ENVELOPE__BODY_PROPOSAL);
  e.proposal = &proposal;
  pack(e);
}

void Encode(const VoteMessage& m, Packer& pack) {
  SignedWire envelope(m.envelope);
  Dadbs__Wire__Vote vote = DADBS__WIRE__VOTE__INIT;
  vote.phase = static_cast<uint32_t>(m.phase);
  vote.epoch = m.epoch.value;
  vote.view = m.view.value;
  vote.height = m.height.value;
  vote.hash = Span(m.hash.view());
  vote.envelope = &envelope.wire;
  auto e = Envelope(DADBS__WIRE__ENVELOPE__BODY_VOTE);
  e.vote = &vote;
  pack(e);
}

void Encode(const StatusMessage& m, Packer& pack) {
  Dadbs__Wire__Status status = DADBS__WIRE__STATUS__INIT;
  status.committed = m.committed.value;
  status.applied = m.applied.value;
  status.view = m.view.value;
  status.incarnation = m.incarnation;
  status.journal_sequence = m.journal_sequence;
  status.load_permille = m.load_permille;
  auto e = Envelope(DADBS__WIRE__ENVELOPE__BODY_STATUS);
  e.status = &status;
  pack(e);
}

void Encode(const BlockRequest& m, Packer& pack) {
  Dadbs__Wire__BlockRequest request = DADBS__WIRE__BLOCK_REQUEST__INIT;
  request.from = m.from.value;
  request.count = m.count;
  auto e = Envelope(DADBS__WIRE__ENVELOPE__BODY_BLOCK_REQUEST);
  e.block_request = &request;
  pack(e);
}

void Encode(const BlockMessage& m, Packer& pack) {
  Bytes block = m.block->Encode();
  Bytes certificate = m.certificate->Encode();
  std::deque<BatchWire> batches;
  std::vector<Dadbs__Wire__Batch*> pointers;
  for (const auto& batch : m.batches) pointers.push_back(&batches.emplace_back(*batch).wire);
  Dadbs__Wire__CertifiedBlock message = DADBS__WIRE__CERTIFIED_BLOCK__INIT;
  message.block = Span(block);
  message.certificate = Span(certificate);
  message.n_batches = pointers.size();
  message.batches = pointers.data();
  message.remaining = m.remaining;
  auto e = Envelope(DADBS__WIRE__ENVELOPE__BODY_BLOCK);
  e.block = &message;
  pack(e);
}

template <class Part>
Bytes PartBytes(const Part& part) {
  Writer w;
  part.Encode(w);
  return w.Take();
}

void Encode(const ViewChangeMessage& m, Packer& pack) {
  Bytes change = PartBytes(m.change);
  Bytes block = m.block ? m.block->Encode() : Bytes{};
  Dadbs__Wire__ViewChange message = DADBS__WIRE__VIEW_CHANGE__INIT;
  message.change = Span(change);
  message.block = Span(block);
  auto e = Envelope(DADBS__WIRE__ENVELOPE__BODY_VIEW_CHANGE);
  e.view_change = &message;
  pack(e);
}

void Encode(const NewViewMessage& m, Packer& pack) {
  Bytes start = PartBytes(m.start);
  Bytes block = m.block ? m.block->Encode() : Bytes{};
  Dadbs__Wire__NewView message = DADBS__WIRE__NEW_VIEW__INIT;
  message.start = Span(start);
  message.block = Span(block);
  auto e = Envelope(DADBS__WIRE__ENVELOPE__BODY_NEW_VIEW);
  e.new_view = &message;
  pack(e);
}

void Encode(const AttestationRequest& m, Packer& pack) {
  auto e = Envelope(DADBS__WIRE__ENVELOPE__BODY_ATTESTATION_REQUEST);
  e.attestation_request = Span(m.nonce.view());
  pack(e);
}

void Encode(const AttestationMessage& m, Packer& pack) {
  Bytes attestation = PartBytes(m.attestation);
  auto e = Envelope(DADBS__WIRE__ENVELOPE__BODY_ATTESTATION);
  e.attestation = Span(attestation);
  pack(e);
}

void Encode(const StateDigestMessage& m, Packer& pack) {
  Bytes state = PartBytes(m.state);
  auto e = Envelope(DADBS__WIRE__ENVELOPE__BODY_STATE_DIGEST);
  e.state_digest = Span(state);
  pack(e);
}

void Encode(const HistoryRequest& m, Packer& pack) {
  Dadbs__Wire__HistoryRequest request = DADBS__WIRE__HISTORY_REQUEST__INIT;
  request.number = m.number;
  request.part = static_cast<uint32_t>(m.part);
  request.from = m.from.value;
  request.offset = m.offset;
  auto e = Envelope(DADBS__WIRE__ENVELOPE__BODY_HISTORY_REQUEST);
  e.history_request = &request;
  pack(e);
}

void Encode(const HistoryMessage& m, Packer& pack) {
  Dadbs__Wire__HistoryPiece piece = DADBS__WIRE__HISTORY_PIECE__INIT;
  piece.number = m.number;
  piece.next = m.next.value;
  piece.offset = m.offset;
  piece.bytes = Span(m.bytes);
  auto e = Envelope(DADBS__WIRE__ENVELOPE__BODY_HISTORY);
  e.history = &piece;
  pack(e);
}

void Encode(const Message& m, Packer& pack) {
  std::visit([&](const auto& message) { Encode(message, pack); }, m);
}

void Encode(const Hello& m, Packer& pack) {
  std::deque<Dadbs__Wire__Setting> settings;
  std::vector<Dadbs__Wire__Setting*> pointers;
  for (const auto& [name, value] : m.environment) {
    Dadbs__Wire__Setting setting = DADBS__WIRE__SETTING__INIT;
    setting.name = const_cast<char*>(name.c_str());
    setting.value = const_cast<char*>(value.c_str());
    pointers.push_back(&settings.emplace_back(setting));
  }
  Dadbs__Wire__Hello hello = DADBS__WIRE__HELLO__INIT;
  hello.protocol_version = m.protocol_version;
  hello.chain_id = Span(m.chain_id.view());
  hello.node_id = m.node.value;
  hello.joining = m.joining;
  hello.n_environment = pointers.size();
  hello.environment = pointers.data();
  auto e = Envelope(DADBS__WIRE__ENVELOPE__BODY_HELLO);
  e.hello = &hello;
  pack(e);
}

void Encode(const GenesisAnswer& m, Packer& pack) {
  Dadbs__Wire__Genesis genesis = DADBS__WIRE__GENESIS__INIT;
  genesis.genesis = Span(m.genesis);
  auto e = Envelope(DADBS__WIRE__ENVELOPE__BODY_GENESIS);
  e.genesis = &genesis;
  pack(e);
}

void Encode(const Ping&, Packer& pack) {
  Dadbs__Wire__Ping ping = DADBS__WIRE__PING__INIT;
  auto e = Envelope(DADBS__WIRE__ENVELOPE__BODY_PING);
  e.ping = &ping;
  pack(e);
}

void Encode(const Pong&, Packer& pack) {
  Dadbs__Wire__Ping pong = DADBS__WIRE__PING__INIT;
  auto e = Envelope(DADBS__WIRE__ENVELOPE__BODY_PONG);
  e.pong = &pong;
  pack(e);
}

// ---- decoding ---------------------------------------------------------------------------------------------------

// Memory that protobuf-c may take for one envelope: a frame of many empty fields must not grow by what each costs.
struct Budget {
  size_t left;
  ProtobufCAllocator allocator{Take, Give, this};

  explicit Budget(size_t frame_bytes)
      : left(frame_bytes + std::min<size_t>(7 * frame_bytes, 64u << 20) + (64u << 10)) {}
  static void* Take(void* self, size_t bytes) noexcept {
    auto* budget = static_cast<Budget*>(self);
    if (bytes > budget->left) return nullptr;
    budget->left -= bytes;
    return std::malloc(bytes);
  }
  static void Give(void*, void* memory) noexcept { std::free(memory); }
};

ByteView Span(const ProtobufCBinaryData& data) { return {data.data, data.len}; }

// Collects the first thing that is wrong.
class Check {
 public:
  explicit Check(std::string* why) : why_(why) {}
  bool ok() const { return ok_; }
  bool Fail(const char* what) {
    if (ok_) *why_ = what;
    return ok_ = false;
  }
  template <size_t N, class T>
  void Fixed(const ProtobufCBinaryData& data, FixedBytes<N, T>* out, const char* what) {
    if (data.len != N) {
      Fail(what);
      return;
    }
    std::memcpy(out->bytes.data(), data.data, N);
  }
  void Node(uint32_t value, NodeId* out) {
    if (value == 0 || value > UINT16_MAX) Fail("a node id that is out of range");
    *out = NodeId{static_cast<uint16_t>(value)};
  }
  void Envelope(const Dadbs__Wire__Signed* wire, Signed* out) {
    if (!wire) {
      Fail("a message without its signature");
      return;
    }
    Node(wire->signer, &out->signer);
    out->incarnation = wire->incarnation;
    out->journal_sequence = wire->journal_sequence;
    Fixed(wire->signature, &out->signature, "a signature of the wrong length");
  }
  template <class Entry>
  void CanonicalItem(const ProtobufCBinaryData& data, Entry* out) {
    core::Reader r(Span(data));
    Item item;
    if (!DecodeItem(r, &item) || !r.Done() || !std::holds_alternative<Entry>(item))
      Fail("an item that can't be decoded");
    else
      *out = std::get<Entry>(item);
  }
  std::shared_ptr<const Block> CanonicalBlock(const ProtobufCBinaryData& data) {
    auto block = std::make_shared<Block>();
    if (!Block::Decode(Span(data), block.get())) Fail("a block that can't be decoded");
    return block;
  }
  std::shared_ptr<const Block> OptionalBlock(const ProtobufCBinaryData& data) {
    return data.len == 0 ? nullptr : CanonicalBlock(data);
  }
  template <class Part>
  void CanonicalPart(const ProtobufCBinaryData& data, Part* out, const char* what) {
    core::Reader r(Span(data));
    if (!out->Decode(r) || !r.Done()) Fail(what);
  }
  std::shared_ptr<const Batch> WholeBatch(const Dadbs__Wire__Batch* wire) {
    auto batch = std::make_shared<Batch>();
    CanonicalItem(wire->header, &batch->header);
    if (wire->n_write_sets != batch->header.count) Fail("a batch with another number of write sets than it names");
    uint64_t bytes = 0;
    for (size_t i = 0; i < wire->n_write_sets; i++) bytes += wire->write_sets[i].len;
    if (bytes != batch->header.body_bytes) Fail("a batch with another size than it names");
    if (!ok_) return batch;
    batch->write_sets.reserve(wire->n_write_sets);
    for (size_t i = 0; i < wire->n_write_sets; i++) {
      ByteView v = Span(wire->write_sets[i]);
      batch->write_sets.emplace_back(v.begin(), v.end());
    }
    return batch;
  }

 private:
  std::string* why_;
  bool ok_ = true;
};

Message Decode(const Dadbs__Wire__Batch& wire, Check& check) { return BatchMessage{check.WholeBatch(&wire)}; }

Message Decode(const Dadbs__Wire__BatchAck& wire, Check& check) {
  BatchAck m;
  check.Node(wire.origin, &m.origin);
  m.incarnation = wire.incarnation;
  m.first_number = wire.first_number;
  check.Fixed(wire.digest, &m.digest, "a digest of the wrong length");
  return m;
}

Message Decode(const Dadbs__Wire__BatchRequest& wire, Check& check) {
  BatchRequest m;
  if (wire.n_digests > kDigestsPerRequestMax) check.Fail("a request for too many batches");
  for (size_t i = 0; check.ok() && i < wire.n_digests; i++)
    check.Fixed(wire.digests[i], &m.digests.emplace_back(), "a digest of the wrong length");
  return m;
}

Message Decode(const Dadbs__Wire__Proposal& wire, Check& check) {
  ProposalMessage m;
  m.view = View{wire.view};
  m.block = check.CanonicalBlock(wire.block);
  check.Envelope(wire.envelope, &m.envelope);
  return m;
}

Message Decode(const Dadbs__Wire__Vote& wire, Check& check) {
  VoteMessage m;
  if (wire.phase != static_cast<uint32_t>(Phase::kPrepare) && wire.phase != static_cast<uint32_t>(Phase::kCommit))
    check.Fail("a vote of an unknown phase");
  m.phase = static_cast<Phase>(wire.phase);
  m.epoch = Epoch{wire.epoch};
  m.view = View{wire.view};
  m.height = Height{wire.height};
  check.Fixed(wire.hash, &m.hash, "a hash of the wrong length");
  check.Envelope(wire.envelope, &m.envelope);
  return m;
}

Message Decode(const Dadbs__Wire__Status& wire) {
  return StatusMessage{Height{wire.committed}, Height{wire.applied},  View{wire.view},
                       wire.incarnation,       wire.journal_sequence, wire.load_permille};
}

Message Decode(const Dadbs__Wire__BlockRequest& wire, Check& check) {
  if (wire.count > kBlocksPerRequestMax) check.Fail("a request for too many blocks");
  return BlockRequest{Height{wire.from}, wire.count};
}

Message Decode(const Dadbs__Wire__HistoryRequest& wire, Check& check) {
  if (wire.part != static_cast<uint32_t>(HistoryPart::kOutcomes) && wire.part != static_cast<uint32_t>(HistoryPart::kBlocks))
    check.Fail("a request for an unknown part of the history");
  return HistoryRequest{wire.number, static_cast<HistoryPart>(wire.part), Height{wire.from}, wire.offset};
}

Message Decode(const Dadbs__Wire__HistoryPiece& wire, Check& check) {
  if (wire.bytes.len > kHistoryPieceBytesMax) check.Fail("too large a piece of history");
  ByteView const bytes = Span(wire.bytes);
  return HistoryMessage{wire.number, Height{wire.next}, wire.offset, {bytes.begin(), bytes.end()}};
}

Message Decode(const Dadbs__Wire__CertifiedBlock& wire, Check& check) {
  BlockMessage m;
  m.block = check.CanonicalBlock(wire.block);
  auto certificate = std::make_shared<Certificate>();
  if (!Certificate::Decode(Span(wire.certificate), certificate.get()))
    check.Fail("a certificate that can't be decoded");
  m.certificate = std::move(certificate);
  if (wire.n_batches > kItemsPerBlockMax) check.Fail("a block with too many batches");
  for (size_t i = 0; check.ok() && i < wire.n_batches; i++) m.batches.push_back(check.WholeBatch(wire.batches[i]));
  m.remaining = wire.remaining;
  return m;
}

Message Decode(const Dadbs__Wire__ViewChange& wire, Check& check) {
  ViewChangeMessage m;
  check.CanonicalPart(wire.change, &m.change, "a VIEW-CHANGE that can't be decoded");
  m.block = check.OptionalBlock(wire.block);
  return m;
}

Message Decode(const Dadbs__Wire__NewView& wire, Check& check) {
  NewViewMessage m;
  check.CanonicalPart(wire.start, &m.start, "a NEW-VIEW that can't be decoded");
  m.block = check.OptionalBlock(wire.block);
  return m;
}

WireMessage Decode(const Dadbs__Wire__Hello& wire, Check& check) {
  Hello m;
  m.protocol_version = wire.protocol_version;
  m.joining = wire.joining;
  if (wire.chain_id.len != 0 || !wire.joining)
    check.Fixed(wire.chain_id, &m.chain_id, "a chain id of the wrong length");
  if (wire.node_id != 0 || !wire.joining) check.Node(wire.node_id, &m.node);
  if (wire.n_environment > kEnvironmentPairsMax) check.Fail("a hello that names too many settings");
  for (size_t i = 0; check.ok() && i < wire.n_environment; i++)
    m.environment.emplace_back(wire.environment[i]->name, wire.environment[i]->value);
  return m;
}

// The names that protobuf-c gives are for the union's members; each is set when the case says so.
WireMessage DecodeBody(const Dadbs__Wire__Envelope& e, Check& check) {
  static_assert(std::variant_size_v<Message> == 16, "a new message needs its case here");
  switch (e.body_case) {
    case DADBS__WIRE__ENVELOPE__BODY_HELLO:
      return Decode(*e.hello, check);
    case DADBS__WIRE__ENVELOPE__BODY_GENESIS: {
      ByteView genesis = Span(e.genesis->genesis);
      return GenesisAnswer{{genesis.begin(), genesis.end()}};
    }
    case DADBS__WIRE__ENVELOPE__BODY_PING:
      return Ping{};
    case DADBS__WIRE__ENVELOPE__BODY_PONG:
      return Pong{};
    case DADBS__WIRE__ENVELOPE__BODY_BATCH:
      return Decode(*e.batch, check);
    case DADBS__WIRE__ENVELOPE__BODY_BATCH_ACK:
      return Decode(*e.batch_ack, check);
    case DADBS__WIRE__ENVELOPE__BODY_BATCH_REQUEST:
      return Decode(*e.batch_request, check);
    case DADBS__WIRE__ENVELOPE__BODY_INCARNATION: {
      IncarnationMessage m;
      check.CanonicalItem(e.incarnation, &m.entry);
      return Message(m);
    }
    case DADBS__WIRE__ENVELOPE__BODY_PROPOSAL:
      return Decode(*e.proposal, check);
    case DADBS__WIRE__ENVELOPE__BODY_VOTE:
      return Decode(*e.vote, check);
    case DADBS__WIRE__ENVELOPE__BODY_STATUS:
      return Decode(*e.status);
    case DADBS__WIRE__ENVELOPE__BODY_BLOCK_REQUEST:
      return Decode(*e.block_request, check);
    case DADBS__WIRE__ENVELOPE__BODY_BLOCK:
      return Decode(*e.block, check);
    case DADBS__WIRE__ENVELOPE__BODY_VIEW_CHANGE:
      return Decode(*e.view_change, check);
    case DADBS__WIRE__ENVELOPE__BODY_NEW_VIEW:
      return Decode(*e.new_view, check);
    case DADBS__WIRE__ENVELOPE__BODY_ATTESTATION_REQUEST: {
      AttestationRequest m;
      check.Fixed(e.attestation_request, &m.nonce, "a nonce of the wrong length");
      return Message(m);
    }
    case DADBS__WIRE__ENVELOPE__BODY_ATTESTATION: {
      AttestationMessage m;
      check.CanonicalPart(e.attestation, &m.attestation, "an attestation that can't be decoded");
      return Message(m);
    }
    case DADBS__WIRE__ENVELOPE__BODY_STATE_DIGEST: {
      StateDigestMessage m;
      check.CanonicalPart(e.state_digest, &m.state, "a state digest that can't be decoded");
      return Message(m);
    }
    case DADBS__WIRE__ENVELOPE__BODY_HISTORY_REQUEST:
      return Decode(*e.history_request, check);
    case DADBS__WIRE__ENVELOPE__BODY_HISTORY:
      return Decode(*e.history, check);
    default:
      check.Fail("a message of an unknown kind");
  }
  return Ping{};
}

}  // namespace

Bytes EncodeFrame(const WireMessage& message) {
  Packer pack{kFrameHeaderBytes, {}};
  std::visit([&](const auto& m) { Encode(m, pack); }, message);
  return std::move(pack.out);
}

Bytes EncodeFrame(const Message& message) {
  Packer pack{kFrameHeaderBytes, {}};
  Encode(message, pack);
  return std::move(pack.out);
}

bool DecodeEnvelope(ByteView bytes, WireMessage* out, std::string* why) {
  Budget budget(bytes.size());
  Dadbs__Wire__Envelope* envelope = dadbs__wire__envelope__unpack(&budget.allocator, bytes.size(), bytes.data());
  if (!envelope) return *why = "bytes that are no message", false;
  Check check(why);
  *out = DecodeBody(*envelope, check);
  dadbs__wire__envelope__free_unpacked(envelope, &budget.allocator);
  return check.ok();
}

Bytes EncodeMessage(const Message& message) {
  Packer pack;
  Encode(message, pack);
  return std::move(pack.out);
}

bool DecodeMessage(ByteView bytes, Message* out, std::string* why) {
  WireMessage message;
  if (!DecodeEnvelope(bytes, &message, why)) return false;
  if (!std::holds_alternative<Message>(message)) return *why = "a message of the channel, not of the replica", false;
  *out = std::get<Message>(std::move(message));
  return true;
}

}  // namespace dadbs::net
