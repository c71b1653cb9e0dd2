/*
 * scenario.cpp: what the statements of a scenario do. The language is described in scenario.h, its grammar is the table
 * in scenario_language.cpp.
 */
#include "scenario.h"

#include <algorithm>
#include <cstdio>
#include <utility>

#include "dadbs/core/check.h"
#include "dadbs/core/write_set.h"

namespace dadbs::sim {

using namespace dadbs::core;

namespace {

constexpr int64_t kSettleUs = 10'000'000;
constexpr int64_t kLookUs = 5'000;
constexpr int64_t kDuplicateAfterUs = 3'000;

const char* KindOf(const Message& message) {
  static const char* const kNames[] = {"BATCH",  "ACK",           "BATCH-REQUEST", "INCARNATION", "PROPOSAL", "",         "STATUS",
                                       "BLOCK-REQUEST", "BLOCK", "VIEW-CHANGE",   "NEW-VIEW",    "QUESTION", "ANSWER", "DIGEST"};
  if (const auto* vote = std::get_if<VoteMessage>(&message)) return vote->phase == Phase::kPrepare ? "PREPARE" : "COMMIT";
  return kNames[message.index()];
}

const char* KindOf(const JournalRecord& record) {
  static const char* const kNames[] = {"GENESIS", "INCARNATION", "BATCH",       "PROPOSAL", "PREPARE", "COMMIT",
                                       "BLOCK",   "STATE",       "VIEW-CHANGE", "NEW-VIEW", "MEMORY"};
  return kNames[record.index()];
}

std::set<uint16_t> IdsOf(const Scenario::Members& members) {
  std::set<uint16_t> ids;
  for (NodeId m : members) ids.insert(m.value);
  return ids;
}

bool Compare(uint64_t a, const std::string& is, uint64_t b) { return is == "=" ? a == b : is == ">=" ? a >= b : a <= b; }

std::string M(NodeId member) { return "m" + std::to_string(member.value); }

}  // namespace

Cluster::Node& Scenario::node(NodeId place) const {
  if (!cluster_) throw Failure("there is no cluster yet");
  if (place.value == 0 || place.value > cluster_->nodes_.size()) throw Failure("there is no " + M(place));
  return cluster_->node(place);
}

Cluster::Node& Scenario::Down(NodeId place) const {
  if (node(place).replica) throw Failure(M(place) + " is not down");
  return node(place);
}

Scenario::Members Scenario::These(const Value& value) const {
  if (!cluster_) throw Failure("there is no cluster yet");
  for (NodeId m : value.members) node(m);
  if (!value.is_all) return value.members;
  Members all;
  for (const auto& n : cluster_->nodes_) all.push_back(n->id);
  return all;
}

Scenario::Members Scenario::Well() const {
  Members well;
  for (const auto& n : cluster_->nodes_)
    if (n->replica && !n->paused && !cluster_->checker_->IsFaulty(n->id) && !n->replica->status().fenced) well.push_back(n->id);
  return well;
}

// ---- the cluster ---------------------------------------------------------------------------------------------------

void Scenario::Begin(int64_t n, const Value* without) {
  if (cluster_) throw Failure("there is a cluster already");
  profile_.n = static_cast<size_t>(n);
  profile_.delay_min_us = profile_.delay_max_us = 1'000;
  profile_.disk_min_us = profile_.disk_max_us = 500;
  profile_.apply_max_us = 1'000;
  profile_.submit_every_us = 0;
  profile_.more_events = profile_.cut = 0;
  Options options;
  options.seed = 28;
  options.trace = trace_;
  options.profile = &profile_;
  options.script = this;
  cluster_ = std::make_unique<Cluster>(options);
  const std::set<uint16_t> absent = without ? IdsOf(without->members) : std::set<uint16_t>{};
  for (const auto& node : cluster_->nodes_)
    if (!absent.contains(node->id.value)) cluster_->Restart(*node);
  for (int64_t waited = 0; waited < kSettleUs && !ExpectSettled(Well()).empty(); waited += kLookUs) RunFor(kLookUs);
  RunFor(100'000);
  Note();
}

void Scenario::Note() {
  noted_ = cluster_->checker_->top();
  counts_.clear();
  rejected_.clear();
}

void Scenario::Submit(NodeId member, const std::string& name, size_t size) {
  Cluster::Node& n = node(member);
  if (!cluster_->TakesWrites(n)) throw Failure(M(member) + " takes no transaction");
  if (!cluster_->checker_->IsFaulty(member)) cluster_->auditor_->OnTaken(member);
  const uint64_t ticket = ++n.tickets;
  Bytes write_set = MakeWriteSet(cluster_->IdOf(member), cluster_->random_.Next(), size, &cluster_->random_);
  n.identities[ticket] = WriteSetIdentity(write_set);
  tickets_[{member.value, ticket}] = name;
  const uint64_t life = n.life;
  cluster_->Carry(n, n.replica->OnSubmit(ticket, std::move(write_set), cluster_->WallOf(n)));
  if (n.life == life) cluster_->EndEvents(n);
}

void Scenario::OnNumbered(NodeId node, uint64_t ticket, const TransactionId& id) {
  if (auto known = tickets_.find({node.value, ticket}); known != tickets_.end()) numbered_[known->second] = id;
}

// ---- the network ---------------------------------------------------------------------------------------------------

bool Scenario::Takes(NodeId from, NodeId to, const Message& message) {
  if (passes_) return false;
  const std::string kind = KindOf(message);
  counts_[{kind, from.value}]++;
  if (kind != "STATUS") sent_.push_back({from, to, message});
  const auto applies = [&](const Rule& r) { return r.kinds.contains(kind) && r.from.contains(from.value) && r.to.contains(to.value); };
  for (const Rule& rule : rules_) {
    if (!applies(rule)) continue;
    const auto again = [this, from, to, message] {
      passes_ = true;
      cluster_->Transmit(from, to, message);
      passes_ = false;
    };
    if (rule.what == What::kHold) held_.push_back({from, to, message});
    if (rule.what == What::kDelay) cluster_->At(rule.delay_us, again);
    if (rule.what == What::kDuplicate) {
      cluster_->At(kDuplicateAfterUs, again);
      continue;
    }
    return true;
  }
  return false;
}

void Scenario::AddRule(What what, const Value& kinds, const Value& from, const Value& to, int64_t delay_us) {
  rules_.push_back({what, kinds.kinds, IdsOf(These(from)), IdsOf(These(to)), delay_us});
}

void Scenario::Release(bool deliver) {
  std::erase_if(rules_, [](const Rule& r) { return r.what == What::kHold; });
  passes_ = true;
  for (Sent& s : std::exchange(held_, {}))
    if (deliver) cluster_->Transmit(s.from, s.to, std::move(s.message));
  passes_ = false;
}

void Scenario::Pass() {
  std::erase_if(rules_, [](const Rule& r) { return r.what != What::kHold; });
}

// As if it had come over a connection of `from`, now.
void Scenario::Inject(NodeId from, NodeId to, Message message) {
  Cluster::Node& n = node(to);
  if (!n.replica || cluster_->IdOf(from) == cluster_->IdOf(to)) return;
  cluster_->TakeMessage(n, cluster_->IdOf(from), std::move(message));
}

void Scenario::Replay(const Value& kinds, const Value& from, const Value& to, const Value* through, const Value* as, bool twisted) {
  const std::set<uint16_t> senders = IdsOf(These(from));
  const std::vector<Sent> all = sent_;
  for (const Sent& s : all) {
    if (!senders.contains(s.from.value) || !kinds.kinds.contains(KindOf(s.message))) continue;
    for (NodeId receiver : These(to)) {
      Message message = twisted ? cluster_->adversary_->Twisted(s.message) : s.message;
      if (auto* vote = std::get_if<VoteMessage>(&message); vote && as)
        vote->phase = as->kinds.contains("PREPARE") ? Phase::kPrepare : Phase::kCommit;
      Inject(through ? through->member() : s.from, receiver, std::move(message));
    }
  }
}

void Scenario::Cut(const Value& these, const Value& those, bool one_way) {
  if (one_way) {
    Rule rule{What::kDrop, {}, IdsOf(These(those)), IdsOf(These(these))};
    for (const char* kind : {"BATCH", "ACK", "BATCH-REQUEST", "INCARNATION", "PROPOSAL", "PREPARE", "COMMIT", "STATUS",
                             "BLOCK-REQUEST", "BLOCK", "VIEW-CHANGE", "NEW-VIEW", "QUESTION", "ANSWER", "DIGEST"})
      rule.kinds.insert(kind);
    rules_.push_back(std::move(rule));
    return;
  }
  for (NodeId a : These(these))
    for (NodeId b : These(those)) {
      if (a == b) continue;
      cluster_->Link(a, b, false);
      cluster_->cut_[a.value][b.value] = cluster_->cut_[b.value][a.value] = true;
    }
}

void Scenario::Heal() {
  Release(true);
  Pass();
  for (const auto& a : cluster_->nodes_)
    for (const auto& b : cluster_->nodes_) {
      if (!cluster_->cut_[a->id.value][b->id.value]) continue;
      cluster_->cut_[a->id.value][b->id.value] = cluster_->cut_[b->id.value][a->id.value] = false;
      cluster_->Link(a->id, b->id, true);
    }
}

// ---- members -------------------------------------------------------------------------------------------------------

void Scenario::Crash(const Value& members, bool keeps_unsynced) {
  for (NodeId m : These(members)) {
    Cluster::Node& n = node(m);
    if (!n.replica) {
      if (members.is_all) continue;
      throw Failure(M(m) + " is down already");
    }
    cluster_->Crash(n, keeps_unsynced ? n.journal.size() : n.durable);
  }
}

void Scenario::CrashWhen(Moment moment, const Value& member, const Value& what, const Value* to) {
  traps_.push_back({moment, member.member(), to ? to->member() : kNobody, what.kinds});
}

bool Scenario::Springs(Moment moment, NodeId node, NodeId to, const std::string& what) {
  auto it = std::find_if(traps_.begin(), traps_.end(), [&](const Trap& t) {
    return t.moment == moment && t.member == node && t.to == to && t.what.contains(what);
  });
  if (it == traps_.end()) return false;
  traps_.erase(it);
  return true;
}

bool Scenario::CrashesAfterSend(NodeId from, NodeId to, const Message& message) {
  if (!Springs(Moment::kSent, from, to, KindOf(message))) return false;
  cluster_->At(profile_.delay_max_us, [this, from, to, message] { Inject(from, to, message); });  // what has left arrives
  return true;
}

bool Scenario::CrashesAtWrite(NodeId node, const JournalRecord& record) {
  return Springs(Moment::kWritten, node, kNobody, KindOf(record));
}

bool Scenario::CrashesWhenDurable(NodeId node, const JournalRecord& record) {
  return Springs(Moment::kDurable, node, kNobody, KindOf(record));
}

void Scenario::Start(const Value& members) {
  for (NodeId m : These(members)) {
    if (node(m).replica) {
      if (members.is_all) continue;
      throw Failure(M(m) + " is up already");
    }
    cluster_->Restart(node(m));
  }
}

void Scenario::Pause(const Value& members, bool paused) {
  for (NodeId m : These(members)) {
    Cluster::Node& n = node(m);
    if (!n.replica) throw Failure(M(m) + " is down");
    n.paused = paused;
    if (paused) continue;
    const uint64_t life = n.life;
    for (auto& action : std::exchange(n.backlog, {}))
      if (n.life == life && !n.paused) action();
  }
}

void Scenario::HangDisk(const Value& members, bool hangs) {
  for (NodeId m : These(members)) {
    node(m).disk_hangs = hangs;
    if (!hangs && node(m).replica) cluster_->StartSync(node(m));
  }
}

void Scenario::StepClock(const Value& members, int64_t us) {
  for (NodeId m : These(members)) node(m).clock_offset_us += us;
}

void Scenario::Snapshot(NodeId member) {
  const Cluster::Node& n = node(member);
  std::vector<JournalRecord> durable(n.journal.begin(), n.journal.begin() + static_cast<int64_t>(n.durable));
  snapshots_[member.value] = {std::move(durable), n.first_sequence};
}

void Scenario::Restore(NodeId member) {
  auto known = snapshots_.find(member.value);
  if (known == snapshots_.end()) throw Failure("there is no snapshot of " + M(member));
  cluster_->Forget(Down(member), known->second.journal, known->second.first_sequence);
}

void Scenario::ForgetTo(Cluster::Node& n, size_t keep) {
  std::vector<JournalRecord> kept(n.journal.begin(), n.journal.begin() + static_cast<int64_t>(keep));
  cluster_->Forget(n, std::move(kept), n.first_sequence);
}

void Scenario::RollBackBy(NodeId member, size_t records) {
  Cluster::Node& n = Down(member);
  if (records >= n.journal.size()) throw Failure(M(member) + " has only " + std::to_string(n.journal.size()) + " records");
  ForgetTo(n, n.journal.size() - records);
}

void Scenario::RollBackTo(NodeId member, Height height) {
  Cluster::Node& n = Down(member);
  for (size_t i = 0; i < n.journal.size(); i++) {
    const auto* block = std::get_if<CommittedRecord>(&n.journal[i]);
    if (block && block->block->header.height == height) return ForgetTo(n, i + 1);
  }
  throw Failure(M(member) + " has no block " + std::to_string(height.value) + " in its journal");
}

void Scenario::RollBackBefore(NodeId member, const std::string& record) {
  Cluster::Node& n = Down(member);
  for (size_t i = n.journal.size(); i-- > 1;)
    if (record == KindOf(n.journal[i])) return ForgetTo(n, i);
  throw Failure(M(member) + " has no " + record + " in its journal");
}

// All of them, so that the next transaction shows it.
void Scenario::FlipRow(const Value& members, bool alike) {
  for (NodeId m : These(members))
    for (size_t row = 0; row < kModelRows; row++) cluster_->FlipRow(node(m), row, alike ? 1 : m.value << 8);
}

void Scenario::Clone(NodeId member) {
  Cluster::Node& clone = cluster_->MakeClone(member);
  if (auto known = snapshots_.find(member.value); known != snapshots_.end())
    cluster_->Forget(clone, known->second.journal, known->second.first_sequence);
  cluster_->Restart(clone);
}

void Scenario::Rejoin(NodeId member) { Down(member).told_to_rejoin = true; }

void Scenario::CutJournal(NodeId member, const Value* record) {
  Cluster::Node& n = Down(member);
  size_t count = cluster_->MayCut(n);
  if (record) {
    while (count > 0 && !record->kinds.contains(KindOf(n.journal[count]))) count--;
  }
  if (count == 0) throw Failure("the journal of " + M(member) + " cannot be cut there");
  cluster_->CutJournal(n, count);
}

// ---- lies ----------------------------------------------------------------------------------------------------------

void Scenario::MakeByzantine(NodeId member, std::optional<Lie> lie) {
  cluster_->checker_->SetFaulty(node(member).id);
  cluster_->jury_->SetFaulty(node(member).id);
  cluster_->auditor_->SetLiar(node(member).id);
  cluster_->adversary_->Tell(lie);
  cluster_->digest_liar_->Tell(lie);
}

void Scenario::AccuseAs(NodeId member) {
  Cluster::Node& accuser = node(member);
  std::vector<Message> messages;
  for (const Sent& sent : sent_) messages.push_back(sent.message);
  const int64_t deadline = cluster_->now_ + kSettleUs;
  for (const Evidence& evidence : FalseAccusations(cluster_->genesis_, messages)) {
    while (accuser.replica && !accuser.replica->CanSubmit() && cluster_->now_ < deadline) RunFor(kLookUs);
    if (!accuser.replica || !accuser.replica->CanSubmit()) throw Failure(M(member) + " takes no writes");
    cluster_->Accuse(accuser, evidence);
    cluster_->EndEvents(accuser);
  }
}

void Scenario::AskForView(NodeId member, uint64_t view) {
  ViewChangeMessage m;
  m.change.view.value = view;
  m.change.height = cluster_->checker_->delivered(member);
  if (m.change.height > Height{}) {
    const BlockMessage& head = cluster_->checker_->block(m.change.height);
    m.change.head = *head.certificate;
    m.change.hash = head.block->header.hash();
  } else {
    m.change.hash = cluster_->genesis_.chain_id();
  }
  m.change.envelope = {member, 1, 1, {}};
  m.change.envelope.signature = node(member).signer->Sign(m.change.SigningBytes({cluster_->genesis_.chain_id(), Epoch{1}}));
  for (const auto& n : cluster_->nodes_) Inject(member, n->id, m);
}

// A block that follows all rules of the chain. Its certificate verifies, vote by vote, for who doesn't ask whose key that was.
void Scenario::CertifyFalsely(const Value& members, NodeId by) {
  const Genesis& genesis = cluster_->genesis_;
  const SignContext context{genesis.chain_id(), Epoch{1}};
  for (NodeId to : These(members)) {
    const Height height = cluster_->checker_->delivered(to);
    const BlockMessage& head = cluster_->checker_->block(height);
    auto block = std::make_shared<Block>(*head.block);
    const int64_t time = head.block->header.time_us + 1;
    block->items.clear();
    IncarnationEntry entry{.origin = genesis.members[0].id, .incarnation = 999, .journal_sequence = 1, .nonce = {},
                           .recent_height = height, .recent_hash = head.block->header.hash()};
    PublicKey key;
    key.bytes[0] = static_cast<uint8_t>(by == kNobody ? 99 : by.value);
    const ModelSigner signer(&cluster_->table_, key);
    entry.signature = signer.Sign(entry.SigningBytes(context));
    block->items.emplace_back(entry);
    block->header = Block::MakeHeader(genesis.chain_id(), Epoch{1}, &head.block->header, head.block->header.hash(), time,
                                      head.block->header.proposer, block->items, {});
    const Digest hash = block->header.hash();
    auto certificate = std::make_shared<Certificate>(
        Certificate{Phase::kCommit, Epoch{1}, View{}, block->header.height, hash, {}});
    for (size_t i = 0; i < genesis.quorum(); i++) {
      Signed vote{genesis.members[i].id, 1, 1, {}};
      vote.signature = signer.Sign(VoteSigningBytes(context, Phase::kCommit, vote.signer, 1, 1, View{}, block->header.height, hash));
      certificate->votes.push_back(vote);
    }
    Inject(by == kNobody ? (to.value == 1 ? NodeId{2} : NodeId{1}) : by, to, BlockMessage{block, certificate, {}, 0});
  }
}

// ---- what must hold ------------------------------------------------------------------------------------------------

Height Scenario::HeightOf(const Value& value) const {
  return Height{static_cast<uint64_t>(value.number) + (value.is_relative ? noted_.value : 0)};
}

std::string Scenario::Standing() const {
  std::string text;
  for (const auto& n : cluster_->nodes_) {
    text += "; " + M(n->id);
    if (!n->replica) {
      text += " down";
      continue;
    }
    const ReplicaStatus s = n->replica->status();
    static const char* const kMemory[] = {"", " unchecked", " a learner", " fenced"};
    text += " at " + std::to_string(s.delivered.value) + " " + s.phase + " in view " + std::to_string(s.view.value) +
            (s.view_entered ? "" : " (not begun)") + (s.incarnation_open ? "" : " (not open)") +
            kMemory[static_cast<size_t>(s.memory)] + (cluster_->HasFound(*n) ? " diverged" : "") +
            (s.submitted_waiting > 0 ? ", own " + std::to_string(s.submitted_waiting) : "");
  }
  return text;
}

std::string Scenario::ExpectHeight(const Value& members, const Value& is, const Value& height) {
  for (NodeId m : These(members)) {
    const uint64_t its = cluster_->checker_->delivered(m).value;
    if (!Compare(its, is.text, HeightOf(height).value))
      return M(m) + " is at " + std::to_string(its) + ", h is " + std::to_string(noted_.value);
  }
  return "";
}

std::string Scenario::ExpectView(const Value& members, const Value& is, const Value& view) {
  for (NodeId m : These(members)) {
    if (!node(m).replica) return M(m) + " is down";
    const uint64_t its = node(m).replica->status().view.value;
    if (!Compare(its, is.text, static_cast<uint64_t>(view.number))) return M(m) + " is in view " + std::to_string(its);
  }
  return "";
}

std::string Scenario::ExpectEqual(const Members& members) {
  for (NodeId m : members)
    if (cluster_->checker_->delivered(m) != cluster_->checker_->top()) return M(m) + " is behind";
  return "";
}

std::string Scenario::ExpectVerdict(const std::string& name, const std::string& verdict) {
  auto known = numbered_.find(name);
  std::string its = "open";
  if (known == numbered_.end()) return "\"" + name + "\" has no number yet";
  if (cluster_->checker_->IsOrdered(known->second)) {
    its = "committed";
  } else if (cluster_->checker_->IsClosed(known->second)) {
    its = "never";
  }
  return its == verdict ? "" : "\"" + name + "\" is " + its;
}

std::string Scenario::ExpectOrder(const std::string& first, const std::string& second) {
  for (const std::string& name : {first, second})
    if (std::string why = ExpectVerdict(name, "committed"); !why.empty()) return why;
  const auto a = cluster_->checker_->PlaceOf(numbered_.at(first)), b = cluster_->checker_->PlaceOf(numbered_.at(second));
  return a < b ? "" : "it stands behind it";
}

std::string Scenario::ExpectMemory(const Value& members, const std::string& memory) {
  static const std::map<std::string, Memory> kNames = {
      {"intact", Memory::kIntact}, {"unchecked", Memory::kUnchecked}, {"learner", Memory::kLearner}, {"fenced", Memory::kFenced}};
  auto wanted = kNames.find(memory);
  if (wanted == kNames.end()) throw Failure("there is no memory that is " + memory);
  for (NodeId m : These(members)) {
    if (!node(m).replica) return M(m) + " is down";
    const ReplicaStatus s = node(m).replica->status();
    if (s.memory != wanted->second) return M(m) + "'s is not: " + s.phase;
  }
  return "";
}

std::string Scenario::ExpectWrites(const Value& members, bool takes) {
  for (NodeId m : These(members)) {
    const bool does = cluster_->TakesWrites(node(m)) && node(m).replica->status().has_quorum;
    if (does != takes) return M(m) + (does ? " does" : " does not");
  }
  return "";
}

std::string Scenario::ExpectUp(const Value& members, bool up) {
  for (NodeId m : These(members))
    if ((node(m).replica != nullptr) != up) return M(m) + (up ? " is down" : " is up");
  return "";
}

std::string Scenario::ExpectSent(const Value& kinds, const Value& members, const Value& is, const Value& count) {
  int64_t sent = 0;
  for (const std::string& kind : kinds.kinds)
    for (NodeId m : These(members)) sent += counts_[{kind, m.value}];
  return Compare(static_cast<uint64_t>(sent), is.text, static_cast<uint64_t>(count.number)) ? "" : "they are " + std::to_string(sent);
}

std::string Scenario::ExpectRejected(NodeId member, const Value& is, const Value& count) {
  const int64_t its = rejected_[member.value];
  return Compare(static_cast<uint64_t>(its), is.text, static_cast<uint64_t>(count.number)) ? "" : "they are " + std::to_string(its);
}

std::string Scenario::ExpectEvidence(const Value& members, const Value& is, const Value& count) {
  for (NodeId m : These(members)) {
    const size_t its = cluster_->jury_->Convictions(m);
    if (!Compare(its, is.text, static_cast<uint64_t>(count.number))) return "against " + M(m) + " there are " + std::to_string(its);
  }
  return "";
}

std::string Scenario::ExpectFound(const Value& members, const std::string& what) {
  for (NodeId m : These(members)) {
    const auto& n = node(m);
    std::string its = cluster_->HasFound(n) ? "diverged" : "nothing";
    if (n.digests && n.digests->finding() && n.digests->finding()->no_quorum) its = "no quorum";
    if (its != what) return M(m) + " has found: " + its;
  }
  return "";
}

std::string Scenario::ExpectAgreed(const Value& members, const Value& is, const Value& height) {
  for (NodeId m : These(members)) {
    const auto& digests = node(m).digests;
    if (!digests) return M(m) + " is down";
    const uint64_t its = digests->finding() ? digests->finding()->agreed.value : digests->agreed().value;
    if (!Compare(its, is.text, HeightOf(height).value))
      return M(m) + " has agreed at " + std::to_string(its) + ", h is " + std::to_string(noted_.value);
  }
  return "";
}

std::string Scenario::ExpectSettled(const Members& members) {
  for (NodeId m : members) {
    if (!node(m).replica) return M(m) + " is down";
    const ReplicaStatus s = node(m).replica->status();
    const bool is_settled = cluster_->checker_->delivered(m) == cluster_->checker_->top() && s.incarnation_open && s.submitted_waiting == 0;
    if (!is_settled) return "not settled" + Standing();
  }
  return "";
}

void Scenario::ExpectLive(const Value* members, int64_t within_us) {
  const int64_t deadline = cluster_->now_ + within_us;
  const auto settle = [&] {
    while (true) {
      const std::string why = ExpectSettled(members ? These(*members) : Well());
      if (why.empty()) return;
      if (cluster_->now_ >= deadline) throw Failure(why);
      RunFor(kLookUs);
    }
  };
  settle();
  for (NodeId m : members ? These(*members) : Well()) {
    if (cluster_->HasFound(node(m))) continue;
    for (const char* name : {"", " "}) Submit(m, "live " + M(m) + name, 20);
  }
  settle();
}

void Scenario::Expect(const std::function<std::string()>& holds, bool at_some_moment, int64_t time_us) {
  if (!cluster_) throw Failure("there is no cluster yet");
  const int64_t deadline = cluster_->now_ + time_us;
  while (true) {
    const std::string why = holds();
    if (at_some_moment && why.empty()) return;
    if (!why.empty() && (!at_some_moment || cluster_->now_ >= deadline)) throw Failure(why);
    if (cluster_->now_ >= deadline) return;
    RunFor(kLookUs);
  }
}

// ---- a whole one ---------------------------------------------------------------------------------------------------

void Scenario::Run(bool trace) {
  trace_ = trace;
  for (const Line& line : lines_) {
    const auto at = [&] { return path_.substr(path_.rfind('/') + 1) + ":" + std::to_string(line.number) + ": " + line.text + ": "; };
    if (trace) std::printf("%s:%zu: %s\n", path_.c_str(), line.number, line.text.c_str());
    try {
      line.statement(*this, line.values);
    } catch (const sim::Failure& failure) {
      throw Failure(at() + failure.what());
    } catch (const BrokenInvariant& broken) {
      throw Failure(at() + broken.what());
    }
  }
}

std::string RunScenario(const std::string& path, bool trace) {
  try {
    Scenario(path).Run(trace);
    return "";
  } catch (const std::runtime_error& error) {
    return error.what();
  }
}

}  // namespace dadbs::sim
