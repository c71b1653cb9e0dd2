/*
 * cluster.cpp: see cluster.h.
 */
#include "cluster.h"

#include <algorithm>
#include <cstdio>
#include <utility>

#include "../../src/core/replica_mutation.h"
#include "dadbs/core/write_set.h"

namespace dadbs::sim {

using namespace dadbs::core;

namespace {

constexpr int64_t kLivenessBoundUs = 10'000'000;
constexpr int64_t kNextPrimaryBoundUs = 3'000'000;
constexpr int kPrimariesOfASiege = 10;

const char* Name(const Message& message) {
  static const char* const kNames[] = {"batch", "batch ack", "batch request", "incarnation", "proposal",
                                       "vote",  "status",    "block request", "block",       "VIEW-CHANGE",
                                       "NEW-VIEW",  "attestation request", "attestation", "digest"};
  return kNames[message.index()];
}

std::string Describe(const Message& message) {
  std::string text = Name(message);
  if (const auto* vote = std::get_if<VoteMessage>(&message))
    text = std::string(vote->phase == Phase::kPrepare ? "PREPARE " : "COMMIT ") + std::to_string(vote->height.value) +
           " " + ToHex(vote->hash.view().subspan(0, 3)) + " of " + std::to_string(vote->envelope.signer.value) +
           " in view " + std::to_string(vote->view.value);
  if (const auto* v = std::get_if<ViewChangeMessage>(&message))
    text += " " + std::to_string(v->change.view.value) + " at " + std::to_string(v->change.height.value) +
            (v->change.prepared ? " prepared in " + std::to_string(v->change.prepared->view.value) : "") + " of " +
            std::to_string(v->change.envelope.signer.value);
  if (const auto* v = std::get_if<NewViewMessage>(&message))
    text += " " + std::to_string(v->start.view.value) + " above " + std::to_string(StartOf(v->start).height.value) +
            (v->block ? " bound" : "");
  if (const auto* p = std::get_if<ProposalMessage>(&message))
    text +=
        " " + std::to_string(p->block->header.height.value) + " " +
        ToHex(p->block->header.hash().view().subspan(0, 3)) + " in view " + std::to_string(p->view.value);
  if (const auto* b = std::get_if<BatchMessage>(&message))
    text += " " + std::to_string(b->batch->header.origin.value) + "." + std::to_string(b->batch->header.incarnation) +
            "." + std::to_string(b->batch->header.first_number) + "+" + std::to_string(b->batch->header.count);
  if (const auto* b = std::get_if<BlockMessage>(&message)) text += " " + std::to_string(b->block->header.height.value);
  if (const auto* b = std::get_if<BlockRequest>(&message)) text += " from " + std::to_string(b->from.value);
  if (const auto* d = std::get_if<StateDigestMessage>(&message))
    text += " " + std::to_string(d->state.height.value) + " " + ToHex(d->state.digest.view().subspan(0, 3)) + " of " +
            std::to_string(d->state.envelope.signer.value);
  return text;
}

}  // namespace

// ---- set-up --------------------------------------------------------------------------------------------------------

Cluster::Cluster(const Options& options) : options_(options), random_(options.seed), dice_(options.seed ^ 0xD16E57), verifier_(&table_) {
  if (options_.real_signatures) verifier_ = &Ed25519Verifier();
  if (options_.profile) {
    profile_ = *options_.profile;
    faults_ = false;
  } else {
    DrawProfile();
    DrawDivergence();
  }
  genesis_.cluster_name = "sim";
  genesis_.created_at_us = 1'700'000'000'000'000 - 60'000'000;
  genesis_.nonce.bytes[0] = static_cast<uint8_t>(options_.seed);
  for (size_t i = 1; i <= profile_.n; i++) {
    auto node = std::make_unique<Node>();
    node->id = NodeId{static_cast<uint16_t>(i)};
    node->signer = MakeSigner(node->id);
    node->clock_offset_us = random_.Between(-profile_.skew_us / 2, profile_.skew_us / 2);
    genesis_.members.push_back(
        {node->id, "m" + std::to_string(i), "m:" + std::to_string(i), node->signer->public_key()});
    nodes_.push_back(std::move(node));
  }
  checker_ = std::make_unique<Checker>(genesis_, verifier_);
  adversary_ = std::make_unique<Adversary>(&random_, genesis_);
  jury_ = std::make_unique<Jury>(genesis_, verifier_);
  auditor_ = std::make_unique<Auditor>(genesis_, DigestLimits{}.check_interval_us);
  digest_liar_ = std::make_unique<DigestLiar>(&dice_, genesis_);
  for (const auto& node : nodes_) node->tables = node->kept = Tables(genesis_.chain_id());
  if (profile_.faulty == kNobody) return;
  checker_->SetFaulty(profile_.faulty);
  jury_->SetFaulty(profile_.faulty);
  auditor_->SetLiar(profile_.faulty);
}

Cluster::~Cluster() = default;

std::unique_ptr<Signer> Cluster::MakeSigner(NodeId id) {
  if (options_.real_signatures) return MakeEd25519Signer(Bytes(32, static_cast<uint8_t>(id.value)));
  PublicKey key;
  key.bytes[0] = static_cast<uint8_t>(id.value);
  return std::make_unique<ModelSigner>(&table_, key);
}

void Cluster::DrawProfile() {
  static constexpr size_t kSizes[] = {1, 2, 3, 4, 4, 4, 4, 5, 6, 7};
  Profile& p = profile_;
  Random& r = random_;
  p.n = kSizes[r.Below(10)];
  if (r.Chance(0.6)) p.loss = 0.2 * static_cast<double>(r.Below(100)) / 100;
  if (r.Chance(0.5)) p.duplication = 0.1;
  p.delay_max_us = r.Chance(0.3) ? 60'000 : 6'000;
  if (r.Chance(0.3)) p.disk_max_us = 40'000;
  if (r.Chance(0.3)) p.disk_stall = 0.02;
  if (r.Chance(0.75)) p.crash_every_us = r.Between(40'000, 600'000);
  if (r.Chance(0.5)) p.cut_every_us = r.Between(50'000, 500'000);
  if (r.Chance(0.5)) p.skew_us = r.Between(0, 8'000'000);
  p.submit_every_us = r.Between(8'000, 60'000);
  if (r.Chance(0.5)) p.large = 0.1;
  if (r.Chance(0.6)) p.attack_every_us = static_cast<double>(r.Between(2'000, 30'000));
  if (p.n >= 4 && r.Chance(0.35)) p.faulty = NodeId{static_cast<uint16_t>(r.Chance(0.3) ? 1 : r.Below(p.n) + 1)};
  p.fault_phase_us = r.Between(600'000, 1'600'000);
  const bool can_bear_one_more = p.n >= (p.faulty == kNobody ? 4u : 7u);  // faults, beside the faulty member
  if (can_bear_one_more && r.Chance(0.35)) {
    p.amnesiac = NodeId{static_cast<uint16_t>(r.Below(p.n) + 1)};
    if (p.amnesiac == p.faulty) p.amnesiac = kNobody;
  }
  p.relapse = p.n > 1 && (p.n <= 3 || can_bear_one_more) && r.Chance(0.3);
  p.siege = p.n >= 4 && p.faulty == kNobody && r.Chance(0.1);
  if (p.n > 1 && r.Chance(0.4)) p.hunt = 0.02 + 0.2 * static_cast<double>(r.Below(100)) / 100;
  if (p.n >= 4 && r.Chance(0.25)) {
    p.exile = NodeId{static_cast<uint16_t>(r.Below(p.n) + 1)};
    if (r.Chance(0.7)) p.exile_at_us = r.Between(50'000, 300'000);
    if (p.exile == p.faulty) p.exile = kNobody;
    if (r.Chance(0.5)) p.crash_every_us = p.cut_every_us = 0, p.hunt = 0, p.submit_every_us = 8'000;  // the others get far
  }
  p.clone = p.n >= 4 && p.faulty == kNobody && r.Chance(0.2);
  if (p.faulty != kNobody && r.Chance(0.5)) p.slander = 0.5;
}

ReplicaLimits Cluster::Limits() const {
  ReplicaLimits limits;
  limits.batch_transactions_max = 8;
  limits.batch_bytes_max = 900;
  limits.inline_batch_bytes_max = 900;
  limits.block_items_max = 6;
  limits.block_bytes_max = 4'000;
  limits.pending_bytes_per_origin_max = 24 << 10;
  limits.recent_blocks_max = 2 + options_.seed % 30;
  limits.fetch_blocks_max = 8;
  limits.fetch_bytes_max = 64 << 10;
  limits.journal_reappend_bytes = options_.seed % 3 == 0 ? 3'000 : 1 << 20;
  limits.resend_interval_us = options_.seed % 4 == 3 ? 8'000 : 50'000;  // shorter: it follows how long answers take
  limits.status_interval_us = 120'000;
  limits.view_change_timeout_us = 100'000;
  return limits;
}

void Cluster::Trace(NodeId id, const std::string& what) {
  if (options_.trace) std::printf("%9.3f ms  %u: %s\n", static_cast<double>(now_) / 1000, id.value, what.c_str());
}

void Cluster::At(int64_t delay_us, Action action) {
  events_.emplace(std::pair{now_ + std::max<int64_t>(delay_us, 0), event_order_++}, std::move(action));
}

void Cluster::Step() {
  auto event = events_.extract(events_.begin());
  now_ = event.key().first;
  summary_.events++;
  event.mapped()();
}

// ---- effects -------------------------------------------------------------------------------------------------------

bool Cluster::CrashNow(Node& node) {
  if (node.crash_after_effects == 0 || --node.crash_after_effects > 0) return false;
  Crash(node);
  return true;
}

void Cluster::Carry(Node& node, Effects effects) {
  const uint64_t life = node.life;
  for (Effect& effect : effects) {
    if (CrashNow(node)) return;
    CarryOne(node, effect);
    if (node.life != life) return;  // in the middle of a broadcast
  }
  StartSync(node);
}

void Cluster::CarryOne(Node& node, Effect& effect) {
  if (auto* e = std::get_if<AppendEffect>(&effect)) Append(node, *e);
  if (auto* e = std::get_if<SendEffect>(&effect)) Send(node, e->to, e->message);
  if (auto* e = std::get_if<DeliverEffect>(&effect)) Deliver(node, *e);
  if (auto* e = std::get_if<NumberedEffect>(&effect)) {
    checker_->OnNumbered(node.id, e->id, node.identities.at(e->ticket));
    if (options_.script) options_.script->OnNumbered(node.id, e->ticket, e->id);
  }
  if (auto* e = std::get_if<EvidenceEffect>(&effect)) {
    const EvidenceSlot slot = SlotOf(*e->evidence);
    Trace(node.id, std::string("has evidence of ") + NameOf(slot.kind) + " against " + std::to_string(slot.culprit.value));
    if (!checker_->IsFaulty(node.id)) jury_->OnFound(node.id, *e->evidence);
    node.to_report->Found(*e->evidence, WallOf(node));
  }
  if (auto* e = std::get_if<ServeBlocksEffect>(&effect)) ServeOld(node, *e);
  if (auto* e = std::get_if<ServerLeftEffect>(&effect)) {
    summary_.left++;
    Trace(node.id, "leaves " + std::to_string(e->peer.value) + ": " + e->why);
  }
  if (auto* e = std::get_if<RejectedPeerEffect>(&effect)) {
    summary_.rejected++;
    if (options_.script) options_.script->OnRejected(node.id);
    Trace(node.id, "rejects " + std::to_string(e->from.value) + ": " + e->why);
  }
}

void Cluster::Append(Node& node, AppendEffect& effect) {
  if (effect.sequence != node.first_sequence + node.journal.size())
    throw Failure("a journal sequence that isn't the next");
  node.journal.push_back(std::move(effect.record));
  // From the same files two servers with one key may begin the same number: what they sign cannot be told apart (protocol.md, 9c).
  if (const auto* begun = std::get_if<IncarnationRecord>(&node.journal.back()); begun && IdOf(node.id) == cloned_)
    if (begun_by_.try_emplace(begun->entry.incarnation, node.id).first->second != node.id) jury_->BeginsAgain(cloned_, begun->entry.incarnation);
  if (options_.script && options_.script->CrashesAtWrite(node.id, node.journal.back())) Crash(node, node.durable);
}

void Cluster::Send(Node& from, NodeId to, const Message& message) {
  Trace(from.id, "sends " + Describe(message) + " to " + std::to_string(to.value));
  checker_->OnSend(from.id, message);
  if (!checker_->IsFaulty(from.id)) jury_->OnSend(message);
  adversary_->Observe(IdOf(from.id), message);
  if (AwaitsDigests(message, from)) return;
  for (const auto& peer : nodes_) {
    if (IdOf(peer->id) == IdOf(from.id) || (to != kNobody && to != IdOf(peer->id))) continue;
    if (CrashNow(from)) return;
    if (!checker_->IsFaulty(from.id)) {
      Transmit(from.id, peer->id, message);
      if (options_.script && options_.script->CrashesAfterSend(from.id, peer->id, message)) return Crash(from, from.durable);
      continue;
    }
    const auto made = [&](const VoteMessage& vote) { checker_->OnVoteMade(vote); };
    for (Message& m : adversary_->Corrupt(from.id, *from.signer, peer->id, message, made))
      Transmit(from.id, peer->id, std::move(m));
  }
}

void Cluster::Transmit(NodeId from, NodeId to, Message message) {
  if (options_.script && options_.script->Takes(from, to, message)) return;
  Random& random = std::holds_alternative<StateDigestMessage>(message) ? dice_ : random_;
  if (!Linked(from, to) || random.Chance(profile_.loss)) return;
  const int copies = random.Chance(profile_.duplication) ? 2 : 1;
  const uint64_t generation = link_generation_[from.value][to.value];
  const bool shows = std::holds_alternative<AttestationMessage>(message) && !checker_->IsFaulty(from) &&
                     node(from).knows_lost.contains(to.value);
  for (int i = 0; i < copies; i++) {
    At(random.Between(profile_.delay_min_us, profile_.delay_max_us), [this, from, to, generation, message, shows] {
      if (!Linked(from, to) || link_generation_[from.value][to.value] != generation) return;
      For(node(to), [this, from, to, message, shows] {
        Node& receiver = node(to);
        Heard(receiver, IdOf(from), message);
        jury_->OnHeard(to, IdOf(from), message);
        const bool is_told = shows && receiver.nonce.bytes == std::get<AttestationMessage>(message).attestation.nonce.bytes && checker_->MustKnow(to);
        const uint64_t life = receiver.life;
        TakeMessage(receiver, IdOf(from), message);
        if (is_told && receiver.life != life) checker_->MayNotKnow(to);  // it crashed before it had written anything
      });
    });
  }
}

// As its owner takes what comes over a connection: digests are not the replica's.
void Cluster::TakeMessage(Node& node, NodeId from, Message message) {
  if (const auto* digest = std::get_if<StateDigestMessage>(&message)) return HearDigest(node, from, digest->state);
  if (const auto* status = std::get_if<StatusMessage>(&message)) node.digests->NoteClaim(from, status->committed);
  Carry(node, node.replica->OnMessage(from, std::move(message), WallOf(node)));
  EndEvents(node);
}

void Cluster::For(Node& node, Action action) {
  if (node.paused) return node.backlog.push_back(std::move(action));
  action();
}

void Cluster::Deliver(Node& node, DeliverEffect& effect) {
  Trace(node.id, "delivers " + std::to_string(effect.block->header.height.value));
  NoteDelivery(node, effect);
  for (const auto& batch : effect.batches)
    for (const Bytes& write_set : batch->write_sets)
      // Also what the chain keeps no more of, since its signer is guilty often enough.
      if (const std::optional<Evidence> evidence = EvidenceOf(write_set); evidence && node.to_report->Awaits(SlotOf(*evidence)) && jury_->IsProof(*evidence))
        node.to_report->OnChain(SlotOf(*evidence));
  const uint64_t life = node.life;
  const Height height = effect.block->header.height;
  At(random_.Between(100, profile_.apply_max_us), [this, &node, life, height] {
    if (node.life != life) return;
    Apply(node, height);
    Carry(node, node.replica->OnApplied(height, WallOf(node)));
  });
}

void Cluster::NoteDelivery(Node& node, const DeliverEffect& effect) {
  const Height before = checker_->top();
  checker_->OnDeliver(node.id, effect);
  if (checker_->top() == before) return;
  auditor_->OnOrdered(effect);
  for (const auto& batch : effect.batches)
    for (const Bytes& write_set : batch->write_sets) jury_->OnOrdered(write_set);
}

void Cluster::ServeOld(Node& node, const ServeBlocksEffect& effect) {
  summary_.served_old++;
  const uint64_t count = std::min<uint64_t>(effect.count, 8);
  for (uint64_t i = 0; i < count; i++) {
    const Height height{effect.from.value + i};
    if (height > checker_->delivered(node.id) || height > checker_->top()) return;
    BlockMessage block = checker_->block(height);
    block.remaining = static_cast<uint32_t>(count - 1 - i);
    const uint64_t life = node.life;
    Send(node, effect.to, block);
    if (node.life != life) return;
  }
}

// What a member hears of another's votes it must be able to show to it, as long as it lives.
void Cluster::Heard(Node& receiver, NodeId from, const Message& message) {
  const Signed* signature = nullptr;
  if (const auto* vote = std::get_if<VoteMessage>(&message)) signature = &vote->envelope;
  if (const auto* p = std::get_if<ProposalMessage>(&message)) signature = &p->envelope;
  if (!signature || signature->signer != from) return;
  auto& newest = receiver.heard[from.value];
  newest = std::max(newest, std::pair(signature->incarnation, signature->journal_sequence));
}

// ---- time and links -----------------------------------------------------------------------------------------------------

void Cluster::Tick(Node& node) {
  const uint64_t life = node.life;
  Carry(node, node.replica->OnTick(WallOf(node)));
  if (node.life != life) return;
  Report(node);
  if (node.life != life) return;
  SayDigest(node);
  At(kTickUs, [this, &node, life] {
    if (node.life == life) For(node, [this, &node] { Tick(node); });
  });
}

void Cluster::Link(NodeId a, NodeId b, bool up) {
  if (up && cut_[a.value][b.value]) return;
  if (links_[a.value][b.value] == up || IdOf(a) == IdOf(b) || (up && (!node(a).replica || !node(b).replica))) return;
  for (const auto& rival : nodes_) {  // of two links to one id the newer one stays
    if (up && rival->id != a && IdOf(rival->id) == IdOf(a)) Link(rival->id, b, false);
    if (up && rival->id != b && IdOf(rival->id) == IdOf(b)) Link(a, rival->id, false);
  }
  links_[a.value][b.value] = links_[b.value][a.value] = up;
  const uint64_t generation = ++link_generation_[a.value][b.value];
  link_generation_[b.value][a.value] = generation;
  for (const auto& [self, peer] : {std::pair{a, b}, std::pair{b, a}}) {
    At(random_.Between(0, 2'000), [this, self = self, peer = peer, up, generation] {
      Node& n = node(self);
      if (!n.replica || link_generation_[self.value][peer.value] != generation) return;
      const auto is_replaced = [&](const auto& rival) { return IdOf(rival->id) == IdOf(peer) && Linked(self, rival->id); };
      if (!up && std::any_of(nodes_.begin(), nodes_.end(), is_replaced)) return;
      For(n, [this, &n, peer, up] {
        const uint64_t life = n.life;
        Carry(n, up ? n.replica->OnConnected(IdOf(peer), WallOf(n)) : n.replica->OnDisconnected(IdOf(peer), WallOf(n)));
        if (up && n.life == life) Greet(n, IdOf(peer));
      });
    });
  }
}

// ---- clients -------------------------------------------------------------------------------------------------------

void Cluster::Submit(Node& node, size_t count) {
  for (size_t i = 0; i < count && TakesWrites(node); i++) {
    const size_t size = random_.Chance(profile_.large) ? 1'500 : 20;
    if (checker_->IsFaulty(node.id) && profile_.slander > 0 && random_.Chance(profile_.slander)) {
      if (const std::optional<Evidence> evidence = adversary_->Accusation()) Accuse(node, *evidence);
      continue;
    }
    if (!checker_->IsFaulty(node.id)) auditor_->OnTaken(node.id);
    SubmitOne(node, MakeWriteSet(IdOf(node.id), random_.Next(), size, &random_));
  }
  EndEvents(node);
}

bool Cluster::TakesWrites(const Node& node) const {
  return node.replica && node.replica->CanSubmit() && (!HasFound(node) || MUTATED(kDivergedWrites));
}

void Cluster::SubmitOne(Node& node, Bytes write_set) {
  const uint64_t ticket = ++node.tickets;
  node.identities[ticket] = WriteSetIdentity(write_set);
  Carry(node, node.replica->OnSubmit(ticket, std::move(write_set), WallOf(node)));
}

void Cluster::Accuse(Node& node, const Evidence& evidence) {
  summary_.accused++;
  SubmitOne(node, MakeEvidenceWriteSet(evidence.Encode(), Prefix{}, Salt{}, WallOf(node)));
}

// What the owner of the replica does with evidence that it has found.
void Cluster::Report(Node& node) {
  const uint64_t life = node.life;
  while (node.life == life && node.replica->CanSubmit()) {
    const std::optional<Bytes> evidence = node.to_report->TakeDue(WallOf(node));
    if (!evidence) return;
    SubmitOne(node, MakeEvidenceWriteSet(*evidence, Prefix{}, Salt{}, WallOf(node)));
    if (node.life == life) EndEvents(node);
  }
}

// Or more events are at hand.
void Cluster::EndEvents(Node& node) {
  if (node.replica && !random_.Chance(profile_.more_events)) Carry(node, node.replica->OnEventsEnd(WallOf(node)));
}

void Cluster::ClientLoop(Node& node) {
  if (!faults_) return;
  const uint64_t life = node.life;
  Submit(node, random_.Chance(0.1) ? 12 : 1);
  At(random_.Between(0, 2 * profile_.submit_every_us), [this, &node, life] {
    if (node.life == life) ClientLoop(node);
  });
}

// ---- faults --------------------------------------------------------------------------------------------------------

void Cluster::FaultLoop() {
  if (!faults_) return;
  if (profile_.crash_every_us > 0 && random_.Chance(20'000.0 / static_cast<double>(profile_.crash_every_us))) {
    Node& victim = *nodes_[random_.Below(nodes_.size())];
    if (victim.replica) victim.crash_after_effects = 1 + static_cast<int>(random_.Below(30));
  }
  if (profile_.cut_every_us > 0 && random_.Chance(20'000.0 / static_cast<double>(profile_.cut_every_us))) {
    const NodeId a = nodes_[random_.Below(nodes_.size())]->id, b = nodes_[random_.Below(nodes_.size())]->id;
    if (a != b) {
      Link(a, b, false);
      At(random_.Between(5'000, 500'000), [this, a, b] { Link(a, b, true); });
    }
  }
  if (profile_.hunt > 0 && random_.Chance(profile_.hunt)) HuntPrimary();
  if (profile_.skew_us > 0 && random_.Chance(0.02)) StepClocks();
  At(20'000, [this] { FaultLoop(); });
}

void Cluster::CutOff(NodeId victim, int64_t for_us) {
  for (const auto& peer : nodes_) {
    if (peer->id == victim) continue;
    Link(victim, peer->id, false);
    At(for_us, [this, victim, id = peer->id] { Link(victim, id, true); });
  }
}

// The primary of the highest view that anybody is in: it crashes, somewhere in what it does, or is cut off from all.
void Cluster::HuntPrimary() {
  View highest;
  NodeId victim = kNobody;
  for (const auto& node : nodes_) {
    if (!node->replica || checker_->IsFaulty(node->id)) continue;
    const ReplicaStatus status = node->replica->status();
    if (victim != kNobody && status.view < highest) continue;
    highest = status.view;
    victim = status.primary;
  }
  if (victim == kNobody || !node(victim).replica) return;
  if (random_.Chance(0.5)) {
    node(victim).crash_after_effects = 1 + static_cast<int>(random_.Below(20));
  } else {
    CutOff(victim, random_.Between(20'000, 400'000));
  }
}

void Cluster::StepClocks() {
  Node& victim = *nodes_[random_.Below(nodes_.size())];
  victim.clock_offset_us = random_.Between(-profile_.skew_us / 2, profile_.skew_us / 2);
}

void Cluster::AttackLoop() {
  if (!faults_) return;
  if (std::optional<Attack> attack = adversary_->Forge()) {
    Node& victim = node(attack->to);
    if (victim.replica) TakeMessage(victim, attack->from, std::move(attack->message));
  }
  At(random_.Between(0, static_cast<int64_t>(2 * profile_.attack_every_us)), [this] { AttackLoop(); });
}

void Cluster::Heal() {
  faults_ = false;
  profile_.loss = profile_.duplication = profile_.disk_stall = 0;
  profile_.delay_max_us = 3'000;
  profile_.disk_max_us = 2'000;
  for (const auto& node : nodes_) {
    node->crash_after_effects = 0;
    if (!node->replica && checker_->top() > checker_->delivered(node->id))
      summary_.furthest = std::max(summary_.furthest, checker_->top().value - checker_->delivered(node->id).value);
    Restart(*node);
  }
  for (const auto& a : nodes_)
    for (const auto& b : nodes_)
      if (a->id < b->id) Link(a->id, b->id, true);
}

// A member that has forgotten an incarnation which nobody could show it takes itself for one of two servers when that comes
// onto the chain. Its operator knows better; also which of two clones is to stay. Nobody else is ever fenced.
void Cluster::UnfenceAsOperator() {
  for (const auto& node : nodes_) {
    if (!node->replica || !node->replica->status().fenced || !(node->has_forgotten || IdOf(node->id) == cloned_)) continue;
    summary_.fenced++;
    Crash(*node);
    node->told_to_rejoin = true;
    Restart(*node);
    for (const auto& peer : nodes_)
      if (peer->id != node->id) Link(node->id, peer->id, true);
  }
}

bool Cluster::Settled() {
  for (const auto& node : nodes_) {
    if (checker_->IsFaulty(node->id) || node->id == away_) continue;
    const ReplicaStatus status = node->replica->status();
    if (checker_->delivered(node->id) != checker_->top() || !status.incarnation_open || status.submitted_waiting > 0)
      return false;
    if (node->to_report->waiting() > 0) return false;
  }
  return true;
}

void Cluster::RunUntilSettled(const char* what, int64_t bound_us) {
  const int64_t deadline = now_ + bound_us;
  while (true) {
    for (int i = 0; i < 20; i++) Step();
    UnfenceAsOperator();
    if (Settled()) return;
    if (now_ > deadline) break;
  }
  std::string text = std::string("no progress after healing: ") + what;
  for (const auto& node : nodes_) {
    if (!node->replica) continue;
    const ReplicaStatus s = node->replica->status();
    text += "; " + std::to_string(node->id.value) + " at " + std::to_string(s.delivered.value) + " " + s.phase +
            " in view " + std::to_string(s.view.value) + (s.view_entered ? "" : " (not begun)") +
            (s.incarnation_open ? "" : " (not open)") + " waits for";
    for (NodeId id : s.missing) text += " " + std::to_string(id.value);
    text += ", own " + std::to_string(s.submitted_waiting);
  }
  throw Failure(text);
}

void Cluster::RunFor(int64_t us) {
  const int64_t until = now_ + us;
  while (!events_.empty() && events_.begin()->first.first <= until) Step();  // none: all are down
  now_ = until;
}

// All is well and idle. One member comes back on older files; it may crash again while it learns. In larger clusters all
// may have lost their power at once.
// One at a time (docs/protocol.md, section 7): who has forgotten what nobody has shown it yet may still be shown it, and forgets again.
Cluster::Node& Cluster::MayForget(NodeId drawn) {
  for (const auto& other : nodes_)
    if (other->has_forgotten && other->replica && EraOf(other->replica->status().incarnation) <= other->forgot_in_era && !checker_->IsFaulty(other->id)) return *other;
  return node(drawn);
}

void Cluster::Relapse() {
  RunFor(400'000);
  const NodeId drawn = nodes_[random_.Below(nodes_.size())]->id;
  if (checker_->IsFaulty(drawn)) return;
  Node& victim = MayForget(drawn);
  const bool power_cut = nodes_.size() > 3 && random_.Chance(0.3);
  Crash(victim);
  if (power_cut)
    for (const auto& node : nodes_)
      if (node->replica) Crash(*node);
  RollBack(victim);
  RunFor(random_.Between(0, 200'000));
  for (const auto& node : nodes_)
    if (!node->replica) Restart(*node);
  if (random_.Chance(0.5)) {
    RunFor(random_.Between(0, 150'000));
    if (!power_cut && random_.Chance(0.5)) victim.crash_after_effects = 1 + static_cast<int>(random_.Below(10));
    RunFor(random_.Between(0, 50'000));
    victim.crash_after_effects = 0;
    if (victim.replica) Crash(victim);
    Restart(victim);
  }
  RunUntilSettled("a member has lost its memory", kLivenessBoundUs);
  for (const auto& node : nodes_) Submit(*node, 2);
  RunUntilSettled("new transactions after that", kLivenessBoundUs);
}

// For a while each peer has a link to one of the two, and both have clients; either may crash.
void Cluster::ShareLinks(Node& original, Node& clone) {
  for (uint64_t i = 0, times = random_.Between(5, 40); i < times; i++) {
    RunFor(random_.Between(1'000, 80'000));
    Node& one = random_.Chance(0.5) ? original : clone;
    if (random_.Chance(0.05)) {
      if (one.replica) Crash(one);
      Restart(one);
    }
    const bool all = random_.Chance(0.2);
    for (const auto& peer : nodes_)
      if (all || random_.Chance(0.3)) Link(one.id, peer->id, true);
    Submit(*nodes_[random_.Below(nodes_.size())], 1);
  }
}

// Not started yet; from a copy of its journal.
Cluster::Node& Cluster::MakeClone(NodeId id) {
  cloned_ = id;
  nodes_.push_back(std::make_unique<Node>());
  Node& original = node(cloned_);
  Node& clone = *nodes_.back();
  clone.id = NodeId{static_cast<uint16_t>(nodes_.size())};
  clone.signer = MakeSigner(cloned_);
  clone.first_sequence = original.first_sequence;
  clone.cut_behind = original.cut_behind;
  clone.durable = original.durable;
  clone.journal.assign(original.journal.begin(), original.journal.begin() + static_cast<int64_t>(original.durable));
  summary_.cloned++;
  Trace(clone.id, "is a clone of " + std::to_string(cloned_.value));
  clone.tables = original.tables;
  clone.kept = original.kept;
  clone.digest = original.digest;
  clone.fault = original.fault;
  clone.has_found = original.has_found;
  checker_->OnClone(clone.id, cloned_);
  auditor_->OnClone(clone.id, cloned_);
  return clone;
}

// A second server is started with the key of one: from a copy of its journal, mostly an older one. In the end one of them
// has fenced itself or is taken away, and the other one is as good as any member.
void Cluster::Clone() {
  RunFor(200'000);
  Node& clone = MakeClone(nodes_[random_.Below(nodes_.size())]->id);
  Node& original = node(cloned_);
  if (random_.Chance(0.8)) RollBack(clone);
  Restart(clone);
  ShareLinks(original, clone);
  const auto is_fenced = [](const Node& one) { return one.replica && one.replica->status().fenced; };
  if (is_fenced(original) && is_fenced(clone)) throw Failure("of two servers with one key none stays");
  Node& gone = is_fenced(original) || (!is_fenced(clone) && random_.Chance(0.5)) ? original : clone;
  Node& stays = &gone == &original ? clone : original;
  away_ = gone.id;
  if (gone.replica) Crash(gone);
  Restart(stays);
  for (const auto& peer : nodes_) Link(stays.id, peer->id, true);
  RunUntilSettled("one of two servers with one key is left", kLivenessBoundUs);
  for (const auto& node : nodes_) Submit(*node, 2);
  RunUntilSettled("new transactions after that", kLivenessBoundUs);
}

// Each time another member is primary; what failed before is back, so at most one is away.
void Cluster::Siege() {
  const bool crashes = random_.Chance(0.5);
  for (int i = 0; i < kPrimariesOfASiege; i++) {
    away_ = nodes_[random_.Below(nodes_.size())]->replica->status().primary;
    if (crashes) Crash(node(away_));
    for (const auto& peer : nodes_)
      if (peer->id != away_) Link(away_, peer->id, false);
    for (const auto& node : nodes_)
      if (node->id != away_) Submit(*node, 1);
    RunUntilSettled("the primary is gone", kNextPrimaryBoundUs);
    Node& back = node(std::exchange(away_, kNobody));
    if (crashes) Restart(back);
    for (const auto& peer : nodes_)
      if (peer->id != back.id) Link(back.id, peer->id, true);
    for (const auto& node : nodes_) Submit(*node, 1);
    RunUntilSettled("the former primary is back", kNextPrimaryBoundUs);
  }
}

Summary Cluster::Run() {
  for (const auto& node : nodes_) Restart(*node);
  if (profile_.exile != kNobody && profile_.exile_at_us > 0)
    At(profile_.exile_at_us, [this] {
      if (node(profile_.exile).replica) Crash(node(profile_.exile));
    });
  FaultLoop();
  StartFlips();
  if (profile_.attack_every_us > 0) AttackLoop(), DigestAttackLoop();
  while (now_ < profile_.fault_phase_us) Step();
  Heal();
  const int64_t healed_at = now_;
  RunUntilSettled("what was submitted", kLivenessBoundUs);
  for (const auto& node : nodes_) Submit(*node, 2);
  RunUntilSettled("new transactions", kLivenessBoundUs);
  summary_.longest_heal_us = now_ - healed_at;
  JudgeDigests();
  if (profile_.relapse) Relapse();
  if (profile_.siege) Siege();
  if (profile_.clone) Clone();
  for (const auto& node : nodes_)
    if (node->replica && !checker_->IsFaulty(node->id))
      summary_.views = std::max(summary_.views, node->replica->status().view.value);
  jury_->Judge();
  for (const auto& member : genesis_.members) summary_.convicted += jury_->Convictions(member.id);
  summary_.heights = checker_->top().value;
  summary_.transactions = checker_->transactions();
  return summary_;
}

}  // namespace dadbs::sim
