// world.cpp: see world.h.
#include "world.h"

#include <algorithm>
#include <ctime>
#include <stdexcept>
#include <utility>

#include "dadbs/core/write_set.h"
#include "dadbs/net/transport.h"

namespace dadbs::growth {

using namespace dadbs::core;

namespace {

constexpr int64_t kTickUs = 50'000;
constexpr uint32_t kBatchTransactions = 250;
constexpr uint64_t kWriteSetExtraBytes = 110;  // around a row's text
constexpr int64_t kGiveUpUs = 120'000'000;
constexpr uint64_t kTlsRecordBytes = 22, kTlsRecordMax = 16'384, kSegmentBytes = 1'448, kHeadersBytes = 90;  // Ethernet to TCP

uint32_t OnTheWire(const Message& message) {
  const uint64_t frame = net::EncodeFrame(message).size();
  const uint64_t encrypted = frame + (frame + kTlsRecordMax - 1) / kTlsRecordMax * kTlsRecordBytes;
  return static_cast<uint32_t>(encrypted + (encrypted + kSegmentBytes - 1) / kSegmentBytes * kHeadersBytes);
}

Bytes MakeWriteSet(uint64_t ticket, size_t bytes) {
  std::string text = std::to_string(ticket) + "/";
  text.resize(std::max(text.size(), bytes - kWriteSetExtraBytes), 'x');
  RowChange row;
  row.relation = {"public", "t"};
  row.row.push_back({'t', AsBytes(text)});
  Salt salt;
  std::copy_n(reinterpret_cast<const uint8_t*>(&ticket), sizeof(ticket), salt.bytes.begin());
  WriteSetBuilder builder(WriteSetKind::kRows);
  builder.Add(salt, EncodeChange(row));
  return builder.Finish({.user = "bench", .application_name = "bench"});
}

double HostUs() { return static_cast<double>(std::clock()) * 1e6 / CLOCKS_PER_SEC; }

}  // namespace

World::World(const Setting& setting, const Costs& costs) : setting_(setting), costs_(costs) {
  genesis_.cluster_name = "growth";
  genesis_.created_at_us = Wall(0) - 1'000'000;
  for (size_t i = 0; i < setting_.members; i++) {
    PublicKey key;
    key.bytes[0] = static_cast<uint8_t>(i);
    key.bytes[1] = static_cast<uint8_t>(i >> 8);
    members_.push_back(std::make_unique<Member>());
    members_[i]->signer = std::make_unique<CountingSigner>(&table_, key);
    genesis_.members.push_back({IdOf(i), "m" + std::to_string(i + 1), "m:1", key});
  }
  if (setting_.writers == 0) setting_.writers = setting_.members;
}

World::~World() = default;

// The extension's own but for one: a batch is full with 250 kB of write sets of 1 kB.
ReplicaLimits World::Limits() const {
  ReplicaLimits limits;
  limits.batch_transactions_max = kBatchTransactions;
  return limits;
}

void World::Push(Event event) {
  event.order = ++order_;
  events_.push(std::move(event));
}

void World::Step() {
  Event event = events_.top();
  events_.pop();
  now_ = event.at;
  if (event.kind == Kind::kArrival) return Arrive(std::move(event));
  if (event.kind == Kind::kWake) return RunProcessor(event.member);
  if (event.kind == Kind::kTick) Push({.at = now_ + kTickUs, .kind = Kind::kTick, .member = event.member});
  ToProcessor(std::move(event));
}

void World::Arrive(Event event) {
  Member& m = *members_[event.member];
  m.down_free = std::max(m.down_free, now_) + static_cast<int64_t>(event.bytes * 8 / setting_.bits_per_us);
  event.at = m.down_free;
  ToProcessor(std::move(event));
}

void World::ToProcessor(Event event) {
  const size_t place = event.member;
  const int64_t at = event.at;
  Member& m = *members_[place];
  (event.kind == Kind::kArrival ? m.arrivals : m.own).push_back(std::move(event));
  WakeAt(place, at);
}

void World::WakeAt(size_t place, int64_t at) {
  Member& m = *members_[place];
  at = std::max(at, m.cpu_free);
  if (m.wakes_at >= now_ && m.wakes_at <= at) return;
  m.wakes_at = at;
  Push({.at = at, .kind = Kind::kWake, .member = static_cast<uint16_t>(place)});
}

// What is there for a processor and comes first; null: nothing.
std::deque<World::Event>* World::NextOf(Member& m) const {
  if (m.arrivals.empty()) return m.own.empty() ? nullptr : &m.own;
  return !m.own.empty() && m.own.front().at <= m.arrivals.front().at ? &m.own : &m.arrivals;
}

// As the consensus worker does: what has come by now is handled, then comes what it has made possible.
void World::RunProcessor(size_t place) {
  Member& m = *members_[place];
  if (m.wakes_at != now_ || m.cpu_free > now_) return;
  m.wakes_at = -1;
  int64_t at = now_;
  for (auto* next = NextOf(m); next && next->front().at <= now_; next = NextOf(m)) {
    Event event = std::move(next->front());
    next->pop_front();
    Handle(place, event, &at);
  }
  work = {};
  Effects effects = m.replica->OnEventsEnd(Wall(at));
  Charge(&at);
  Carry(place, std::move(effects), &at);
  SyncLater(place, at);
  m.busy_us += at - now_;
  m.cpu_free = at;
  if (const auto* next = NextOf(m)) WakeAt(place, next->front().at);
  if (const auto in = m.replica->WakeIn()) WakeAt(place, at + std::max<int64_t>(1, *in));
}

void World::Handle(size_t place, Event& event, int64_t* at) {
  Member& m = *members_[place];
  work = {};
  Effects effects;
  if (event.kind == Kind::kSubmit) return Submit(place, at);
  if (event.kind == Kind::kTick) effects = m.replica->OnTick(Wall(*at));
  if (event.kind == Kind::kDurable) {
    m.is_syncing = false;
    effects = m.replica->OnJournalDone(event.sequence, Wall(*at));
  }
  if (event.kind == Kind::kArrival) {
    *at += costs_.OfMessage(event.bytes);
    effects = m.replica->OnMessage(NodeId{event.from}, *event.payload, Wall(*at));
  }
  Charge(at);
  Carry(place, std::move(effects), at);
}

void World::Charge(int64_t* at) {
  *at += costs_.Of(work);
  round_.work.signatures += work.signatures;
  round_.work.verifications += work.verifications;
  round_.work.hashes += work.hashes;
  round_.work.hashed_bytes += work.hashed_bytes;
  work = {};
}

void World::Carry(size_t place, Effects effects, int64_t* at) {
  Member& m = *members_[place];
  for (Effect& effect : effects) {
    if (auto* e = std::get_if<AppendEffect>(&effect)) {
      m.appended = e->sequence;
      m.appended_bytes += EncodeRecord(e->record).size();
    } else if (auto* e = std::get_if<SendEffect>(&effect)) {
      Send(place, e->to, std::move(e->message), at);
    } else if (auto* e = std::get_if<RejectedPeerEffect>(&effect)) {
      throw std::runtime_error("a member rejects a message: " + e->why);
    } else if (auto* e = std::get_if<DeliverEffect>(&effect)) {
      m.delivered += e->block->header.transaction_count;
      if (place == 0) round_.blocks++;
      if (load_ > 0 && m.delivered >= load_ && m.done_at == 0) m.done_at = *at, done_++;
      Carry(place, m.replica->OnApplied(e->block->header.height, Wall(*at)), at);
    }
  }
}

void World::Send(size_t place, NodeId to, Message message, int64_t* at) {
  Member& m = *members_[place];
  const Work before = work;  // encoding a block hashes nothing that the replica would have to
  const uint32_t bytes = OnTheWire(message);
  work = before;
  const bool is_heartbeat = std::holds_alternative<StatusMessage>(message);
  const auto payload = std::make_shared<const Message>(std::move(message));
  for (size_t other = 0; other < members_.size(); other++) {
    if (other == place || (to != kNobody && IdOf(other) != to)) continue;
    *at += costs_.OfMessage(bytes);
    m.up_free = std::max(m.up_free, *at) + static_cast<int64_t>(bytes * 8 / setting_.bits_per_us);
    Push({.at = m.up_free + latency_us_,
          .kind = Kind::kArrival,
          .member = static_cast<uint16_t>(other),
          .from = IdOf(place).value,
          .bytes = bytes,
          .payload = payload});
    (is_heartbeat ? round_.heartbeats : round_.messages)++;
    if (!is_heartbeat) round_.bytes += bytes;
  }
}

void World::Submit(size_t place, int64_t* at) {
  Member& m = *members_[place];
  for (; m.to_submit > 0; m.to_submit--) {
    if (!m.replica->CanSubmit()) throw std::runtime_error("a member takes no more write sets");
    Bytes write_set = MakeWriteSet(++ticket_, setting_.write_set_bytes);
    work = {};
    Effects effects = m.replica->OnSubmit(ticket_, std::move(write_set), Wall(*at));
    Charge(at);
    Carry(place, std::move(effects), at);
  }
}

// One sync at a time; what is appended meanwhile is durable with the next.
void World::SyncLater(size_t place, int64_t at) {
  Member& m = *members_[place];
  const std::optional<int64_t> in = m.replica->SyncIn();
  if (!in || m.is_syncing || m.appended == 0) return;
  if (*in > 0) return WakeAt(place, at + *in);
  m.is_syncing = true;
  const int64_t took = setting_.sync_us + static_cast<int64_t>(static_cast<double>(m.appended_bytes) / setting_.disk_bytes_per_us);
  m.appended_bytes = 0;
  Push({.at = at + took, .kind = Kind::kDurable, .member = static_cast<uint16_t>(place), .sequence = m.appended});
}

void World::RunUntil(int64_t until) {
  while (!events_.empty() && events_.top().at <= until) Step();
  now_ = until;
}

bool World::AllOpen() const {
  return std::all_of(members_.begin(), members_.end(), [](const auto& m) { return m->replica->CanSubmit(); });
}

// All links are up at once and without latency, and the first blocks open all incarnations.
void World::Start() {
  const ReplicaLimits limits = Limits();
  const Bytes genesis = genesis_.Encode();
  for (size_t i = 0; i < members_.size(); i++) {
    RecoveredState state;
    state.Apply(GenesisRecord{genesis, IdOf(i)}, 1);
    members_[i]->replica = std::make_unique<Replica>(IdOf(i), *members_[i]->signer, verifier_, limits, std::move(state), Nonce{}, Wall(0));
  }
  for (size_t i = 0; i < members_.size(); i++) {
    int64_t at = 0;
    for (size_t other = 0; other < members_.size(); other++)
      if (other != i) Carry(i, members_[i]->replica->OnConnected(IdOf(other), Wall(at)), &at);
    Carry(i, members_[i]->replica->Start(Wall(at)), &at);
    members_[i]->cpu_free = at;
    SyncLater(i, at);
    Push({.at = at + static_cast<int64_t>(i) * kTickUs / static_cast<int64_t>(members_.size()),
          .kind = Kind::kTick,
          .member = static_cast<uint16_t>(i)});
  }
  while (!AllOpen() && now_ < kGiveUpUs) RunUntil(now_ + 100'000);
  if (!AllOpen()) throw std::runtime_error("the members do not begin");
  RunUntil(now_ + 2'000'000);
}

Round World::RunLoad(uint64_t share) {
  // At another moment between heartbeats each time.
  RunUntil(now_ + 1'400'000 + static_cast<int64_t>(rounds_++ % 7) * 137'000);
  round_ = {};
  load_ = 0;
  done_ = 0;
  for (size_t i = 0; i < members_.size(); i++) {
    Member& m = *members_[i];
    m.delivered = 0;
    m.done_at = m.busy_us = 0;
    if (i + setting_.writers < members_.size()) continue;
    m.to_submit = share;
    load_ += share;
    Push({.at = now_, .kind = Kind::kSubmit, .member = static_cast<uint16_t>(i)});
  }
  const int64_t begin = now_;
  const double host_begin = HostUs();
  while (done_ < members_.size() && now_ < begin + kGiveUpUs && !events_.empty()) Step();
  if (done_ < members_.size()) throw std::runtime_error("the load is not ordered");
  round_.host_us = (HostUs() - host_begin) / static_cast<double>(members_.size());
  std::vector<int64_t> took;
  for (const auto& m : members_) {
    took.push_back(m->done_at - begin);
    round_.busy_us += m->busy_us / static_cast<int64_t>(members_.size());
    round_.busiest_us = std::max(round_.busiest_us, m->busy_us);
    round_.view = std::max(round_.view, m->replica->status().view.value);
  }
  std::sort(took.begin(), took.end());
  round_.first_us = took.front();
  round_.median_us = took[took.size() / 2];
  round_.last_us = took.back();
  return round_;
}

std::vector<Round> World::Measure(const Load& load) {
  latency_us_ = load.latency_us;
  const uint64_t share = std::max<uint64_t>(1, load.bytes / setting_.writers / setting_.write_set_bytes);
  RunLoad(share);
  std::vector<Round> rounds;
  for (int i = 0; i < load.rounds; i++) rounds.push_back(RunLoad(share));
  return rounds;
}

}  // namespace dadbs::growth
