/*
 * consensus.cpp: the consensus worker: replica, journal and transport in one process, on one thread.
 *
 * One WaitEventSet holds the latch, the postmaster's death and libuv's backend descriptor. Each round of the loop takes
 * what is at hand (messages, write sets from capture, a tick, the applied height) into the replica, event by event, lets
 * it take the steps that they make possible, and carries out its effects in order; then one fdatasync covers all records
 * that were appended (now, or a little later where only others' block waits for it: SyncIn), and the replica hears that
 * they are durable, which releases what was signed. Nothing signed leaves before that.
 *
 *   Append     -> JournalWriter::Append: buffered until the end of the round
 *   Numbered   -> the slot of the waiting backend learns its transaction id; first of all effects, so that an id never
 *                 exists in the journal while its backend knows nothing of it
 *   Deliver    -> the block's record is durable by then: the durable position and delivered_height are published in
 * this order, apply is woken. Apply follows the journal's files; blocks do not travel through shared memory. Send,
 * Serve, Stage, Rejected: as they say
 *
 * State owned: the journal directory (a lock file says so), the replica, the links, the receiving end of the capture
 * queue; in shared memory what ipc.h lists under "consensus publishes". Durable is the journal alone. If this process
 * ends, the launcher starts the whole set again and the replica goes on from the journal, in a new incarnation; if it
 * crashes, the postmaster restarts the server.
 *
 * A journal that cannot be written (disk full, I/O error) stops votes and writes, not the process: the write is tried
 * again each second, links stay up, messages are dropped meanwhile (members send again), and dadbs.status says so.
 *
 * Back-pressure: while the replica has no room (CanSubmit) the capture queue is not read.
 */
#include "consensus.h"

#include <algorithm>
#include <deque>
#include <utility>
#include <variant>

#include "block_service.h"
#include "capture_queue.h"
#include "dadbs/core/write_set.h"
#include "dadbs/net/transport.h"
#include "dadbs/pg/apply.h"
#include "dadbs/pg/boundary.h"
#include "dadbs/pg/errors.h"
#include "dadbs/pg/guc.h"
#include "dadbs/pg/records.h"
#include "dadbs/pg/worker.h"
#include "../apply/impasse.h"
#include "digests.h"
#include "doubt.h"
#include "faults.h"
#include "history_exchange.h"
#include "journal.h"
#include "publish.h"

extern "C" {
#include "miscadmin.h"
#include "pgstat.h"
#include "storage/latch.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

PGDLLEXPORT void dadbs_consensus_main(Datum);
}

namespace dadbs::pg {
namespace {

constexpr int64_t kTickInterval_us = 50'000;
constexpr int64_t kPublishInterval_us = 50'000;
constexpr int64_t kSyncRetryInterval_us = 1'000'000;
constexpr int64_t kCutInterval_us = 1'000'000;
constexpr int64_t kComplaintInterval_us = 10'000'000;
constexpr size_t kSubmissionsPerRoundMax = 512;
constexpr int64_t kClockAhead_us = 10'000'000;  // as far as a proposal may be
constexpr size_t kSubmittedBytesPerRoundMax = 4u << 20;

void PublishDurable(const storage::JournalPosition& position) {
  SpinLockAcquire(&shared->durable_mutex);
  pg_atomic_write_u64(&shared->durable_generation, position.generation);
  pg_atomic_write_u64(&shared->durable_offset, position.offset);
  SpinLockRelease(&shared->durable_mutex);
}

core::Salt NewSalt() {
  core::Salt salt;
  if (!core::RandomBytes(salt.bytes)) throw PgError(ERRCODE_INTERNAL_ERROR, "could not generate random bytes");
  return salt;
}

// A log line at most each ten seconds, with the number of those kept back.
class Complaints {
 public:
  void Log(const std::string& what, int64_t now_us) {
    if (last_us_ != 0 && std::abs(now_us - last_us_) < kComplaintInterval_us) {
      suppressed_++;
      return;
    }
    const char* const text = what.c_str();
    uint64_t const more = suppressed_;
    Call([&] {
      ereport(LOG, (errmsg("dadbs: %s", text), more > 0 ? errdetail("%llu more like this since the last message.",
                                                                    static_cast<unsigned long long>(more))
                                                        : 0));
    });
    last_us_ = now_us;
    suppressed_ = 0;
  }

 private:
  int64_t last_us_ = 0;
  uint64_t suppressed_ = 0;
};

class ConsensusWorker {
 public:
  explicit ConsensusWorker(Member member)
      : member_(std::move(member)), to_report_(member_.self, member_.genesis.members.size()), publisher_(member_) {}
  void Run();

 private:
  void Start();
  void StartTransport(const core::Bytes& seed);
  void Round();
  void TakeEvents();
  void TakeMessage(net::Received&& received);
  void TakeSubmissions();
  void SubmitOwn(core::Bytes write_set);
  void SubmitVotes();
  void Submit(Submission&& submission);
  void TakeTime();
  void Isolate();
  void ServeBlocks();
  void ServeHistory(core::NodeId to, const core::HistoryRequest& request);
  void CompareDigests();
  void SendTo(core::NodeId to, const core::Message& message);

  void Carry(core::Effects effects);
  void CarryOne(core::AppendEffect& e);
  void CarryOne(core::SendEffect& e);
  void CarryOne(core::DeliverEffect& e);
  void CarryOne(core::NumberedEffect& e);
  void CarryOne(core::ServeBlocksEffect& e);
  void CarryOne(core::StageEffect& e);
  void CarryOne(core::RejectedPeerEffect& e);
  void CarryOne(core::ServerLeftEffect& e);
  void CarryOne(core::EvidenceEffect& e);
  void NoteOnChain(const core::DeliverEffect& delivered);
  void ReportEvidence();
  void MakeDurable();
  void CutJournal();
  void SettleSigns();
  void Publish();
  void Wait();
  int TimeoutMs() const;

  Member const member_;
  std::unique_ptr<core::Signer> signer_;
  OpenJournal journal_;
  std::unique_ptr<core::Replica> replica_;
  std::unique_ptr<net::Transport> transport_;  // none in a cluster of one
  CaptureQueue queue_;
  BlockService block_service_;
  HistoryExchange history_exchange_;
  std::optional<Digests> digests_;
  core::EvidenceToReport to_report_;
  StatusPublisher publisher_;
  WaitEventSet* wait_set_ = nullptr;

  int64_t now_us_ = 0;
  uint64_t appended_ = 0;            // highest sequence appended
  uint64_t delivered_ = 0;           // to be published when durable
  int64_t block_time_us_ = 0;        // of the block delivered last
  bool more_submissions_ = false;    // the queue may hold more than this round has taken
  std::deque<Submission> gathered_;  // under dadbs.batch_delay
  int64_t gathering_since_us_ = 0;
  uint64_t votes_taken_ = 0;
  uint64_t applied_height_ = 0, cut_height_ = 0;
  int64_t ticked_us_ = 0, published_us_ = 0, cut_us_ = 0, sync_retry_us_ = 0;
  bool publish_now_ = true;
  bool signs_settled_ = false;
  bool tables_known_ = false;
  bool isolated_ = false;
  uint64_t deaf_ = 0;  // to these peers: shared->deaf_request
  std::string journal_problem_;
  Complaints refusals_, rejections_, departures_;
};

// ---- start

void ConsensusWorker::StartTransport(const core::Bytes& seed) {
  const core::Member& self = *member_.genesis.Find(member_.self);
  net::TransportOptions options;
  SplitAddress(self.address, &options.listen_host, &options.listen_port);
  std::string_view const listen = guc_listen_addresses == nullptr ? "" : guc_listen_addresses;
  if (!listen.empty()) options.listen_host = listen == "*" ? "" : listen;
  options.self = member_.self;
  options.seed = seed;
  options.chain_id = member_.genesis.chain_id();
  std::vector<net::PeerInfo> peers;
  for (const core::Member& m : member_.genesis.members) {
    if (m.id == member_.self) continue;
    net::PeerInfo peer{m.id, m.name, "", 0, m.key};
    SplitAddress(m.address, &peer.host, &peer.port);
    peers.push_back(std::move(peer));
  }
  std::string error;
  transport_ = net::Transport::Create(options, std::move(peers), ComputeEnvironment(member_.config),
                                      member_.genesis_bytes, &error);
  if (!transport_) throw PgError(ERRCODE_CONNECTION_EXCEPTION, "the peer port cannot be opened: " + error);
}

void ConsensusWorker::Start() {
  core::Bytes const seed = LoadOrCreateSeed();
  signer_ = core::MakeEd25519Signer(seed);
  if (signer_->public_key() != member_.genesis.Find(member_.self)->key)
    throw PgError(
        kErrHalted, "the node key is not this member's",
        "File \"" + KeyFile() + "\" holds another key than the genesis names for \"" + member_.config.name + "\".");
  const char* const doubt = FindDoubt();
  journal_ = OpenMemberJournal(member_, doubt != nullptr);
  core::Nonce nonce;
  if (!core::RandomBytes(nonce.bytes)) throw PgError(ERRCODE_INTERNAL_ERROR, "could not generate random bytes");
  PublishDurable(journal_.writer->durable());
  delivered_ = journal_.recovered.chain.height.value;
  pg_atomic_write_u64(&shared->delivered_height, delivered_);
  if (pg_atomic_read_u32(&shared->replay_done) == 0) pg_atomic_write_u64(&shared->replay_target, delivered_);
  core::ReplicaLimits limits;
  limits.apply_lag_blocks_max = static_cast<uint32_t>(guc_apply_lag_blocks_max);
  now_us_ = NowUs();
  journal_.recovered.doubt = doubt;
  journal_.recovered.awaits_tables = true;
  replica_ = std::make_unique<core::Replica>(member_.self, *signer_, core::Ed25519Verifier(), limits,
                                             std::move(journal_.recovered), nonce, now_us_);
  digests_.emplace(member_, *signer_);
  if (member_.genesis.members.size() > 1) StartTransport(seed);
  queue_.Create();
  block_service_.Create();
  wait_set_ = MakeWaitSet(transport_ ? transport_->backend_fd() : -1);
  votes_taken_ = VotesCast();  // by an older worker set
  PublishWorker(&shared->consensus);
  WakeWorker(&shared->capture);
  WakeWorker(&shared->apply);
}

void ConsensusWorker::Run() {
  Start();
  Carry(replica_->Start(now_us_));
  while (!ShutdownAsked()) {
    HandleWorkerInterrupts();
    Round();
    Publish();
    Wait();
  }
  pg_atomic_write_u32(&shared->can_write, 0);
  queue_.Detach();
  block_service_.Detach();
}

// ---- events in

void ConsensusWorker::Round() {
  now_us_ = NowUs();
  Isolate();
  if (transport_) TakeEvents();
  if (journal_problem_.empty()) {
    TakeSubmissions();
    SubmitVotes();
    ReportEvidence();
    TakeTime();
    Carry(replica_->OnEventsEnd(now_us_));
  }
  MakeDurable();
  SettleSigns();
  if (transport_) ServeBlocks();
  if (transport_) history_exchange_.Step([this](core::NodeId to, const core::Message& m) { SendTo(to, m); });
  CompareDigests();
  if (transport_) transport_->Flush();
  CutJournal();
}

void ConsensusWorker::TakeEvents() {
  for (net::Event& event : transport_->Poll(now_us_)) {
    if (auto* const received = std::get_if<net::Received>(&event)) {
      TakeMessage(std::move(*received));
    } else if (auto* const connected = std::get_if<net::Connected>(&event)) {
      Carry(replica_->OnConnected(connected->peer, now_us_));
      digests_->Greet(connected->peer, [this](core::NodeId to, const core::Message& m) { SendTo(to, m); });
      publish_now_ = true;
    } else if (auto* const lost = std::get_if<net::Disconnected>(&event)) {
      Carry(replica_->OnDisconnected(lost->peer, now_us_));
      block_service_.Forget(lost->peer);
      publish_now_ = true;
    } else if (auto* const refused = std::get_if<net::Refused>(&event)) {
      refusals_.Log("refused a peer: " + refused->why, now_us_);
      CountFault(core::kNobody, "a connection that was refused");
    }
  }
}

void ConsensusWorker::TakeMessage(net::Received&& received) {
  if (const auto* const status = std::get_if<core::StatusMessage>(&received.message)) {
    publisher_.NoteClaim(received.from, *status);
    digests_->NoteClaim(received.from, *status);
  }
  if (const auto* const digest = std::get_if<core::StateDigestMessage>(&received.message)) {
    std::string const why = digests_->Receive(received.from, digest->state, now_us_);
    core::RejectedPeerEffect rejected{received.from, why};
    if (!why.empty()) CarryOne(rejected);
    return;
  }
  if (const auto* const request = std::get_if<core::HistoryRequest>(&received.message)) return ServeHistory(received.from, *request);
  if (const auto* const piece = std::get_if<core::HistoryMessage>(&received.message)) return history_exchange_.Receive(received.from, *piece);
  // Nothing can be promised now: as good as lost on the way.
  if (!journal_problem_.empty()) return;
  Carry(replica_->OnMessage(received.from, std::move(received.message), now_us_));
}

// What this member has come to is of use to nobody where it differs from what a quorum has; blocks prove themselves.
void ConsensusWorker::ServeHistory(core::NodeId to, const core::HistoryRequest& request) {
  LWLockAcquire(shared->lock, LW_SHARED);
  bool const differs = shared->divergence.height != 0;
  LWLockRelease(shared->lock);
  if (!differs || request.part == core::HistoryPart::kBlocks) block_service_.Ask(to, request);
}

void ConsensusWorker::Submit(Submission&& submission) {
  if (!core::HasWriteSetFrame(submission.write_set)) {
    RefuseHold(submission.ticket, kErrInvalidWriteSet, "the captured changes are not a write set");
    return;
  }
  Carry(replica_->OnSubmit(submission.ticket.Pack(), std::move(submission.write_set), now_us_));
}

// Write sets at hand, up to a bound per round so that votes do not wait behind them.
void ConsensusWorker::TakeSubmissions() {
  size_t count = 0, bytes = 0;
  more_submissions_ = true;
  while (replica_->CanSubmit()) {
    if (count >= kSubmissionsPerRoundMax || bytes >= kSubmittedBytesPerRoundMax) return;
    std::optional<Submission> submission = queue_.Receive();
    if (!submission) {
      more_submissions_ = false;
      break;
    }
    count++;
    bytes += submission->write_set.size();
    if (guc_batch_delay_us == 0 && gathered_.empty()) {
      Submit(std::move(*submission));
      continue;
    }
    if (gathered_.empty()) gathering_since_us_ = now_us_;
    gathered_.push_back(std::move(*submission));
  }
  bool const due = now_us_ - gathering_since_us_ >= guc_batch_delay_us || now_us_ < gathering_since_us_ ||
                   gathered_.size() >= kSubmissionsPerRoundMax;
  while (due && !gathered_.empty() && replica_->CanSubmit()) {
    Submit(std::move(gathered_.front()));
    gathered_.pop_front();
  }
}

// A transaction of this member, for which no session waits.
void ConsensusWorker::SubmitOwn(core::Bytes write_set) { Submit({{Ticket::kNobody, 0}, now_us_, std::move(write_set)}); }

// Of the apply worker, also where it is far behind: that is what it votes on.
void ConsensusWorker::SubmitVotes() {
  replica_->SetImpasse(pg_atomic_read_u32(&shared->impasse) != 0);
  if (votes_taken_ == VotesCast()) return;
  core::ReplicaStatus const status = replica_->status();
  if (!status.incarnation_open || status.fenced) return;
  while (std::optional<core::ImpasseVote> const vote = TakeVote(&votes_taken_)) {
    core::WriteSetBuilder write_set(core::WriteSetKind::kVote);
    write_set.Add(NewSalt(), core::EncodeChange(*vote));
    core::WriteSetHeader header;
    header.begun_at_us = now_us_;
    SubmitOwn(write_set.Finish(header));
  }
}

void ConsensusWorker::TakeTime() {
  uint64_t const applied = core::WholeBlocks(core::Prefix{pg_atomic_read_u64(&shared->applied)}).value;
  if (uint64_t const tables = pg_atomic_read_u64(&shared->tables); !tables_known_ && tables != 0) {
    tables_known_ = true;
    uint64_t const now = pg_atomic_read_u64(&shared->applied);
    Carry(replica_->OnTables(core::PrefixHeight(core::Prefix{std::max(tables, now)}), now_us_));
  }
  if (applied > delivered_ && !transport_)  // nobody has the blocks between
    throw PgError(kErrHalted,
                  "the journal ends at height " + std::to_string(delivered_) + ", but the tables are at height " +
                      std::to_string(applied),
                  "One of them was restored from another time than the other.");
  if (applied != applied_height_) {
    applied_height_ = applied;
    Carry(replica_->OnApplied(core::Height{applied}, now_us_));
  }
  if (std::abs(now_us_ - ticked_us_) >= kTickInterval_us) {
    ticked_us_ = now_us_;
    replica_->SetViewChangeTimeout(int64_t{1000} * guc_view_change_timeout_ms);
    Carry(replica_->OnTick(now_us_));
  }
}

void ConsensusWorker::Isolate() {
  if (uint64_t const deaf = pg_atomic_read_u64(&shared->deaf_request); transport_ && deaf != deaf_) {
    deaf_ = deaf;
    std::vector<core::NodeId> peers;
    for (uint16_t bit = 0; bit < 64; bit++)
      if ((deaf >> bit & 1) != 0) peers.push_back(core::NodeId{static_cast<uint16_t>(bit + 1)});
    transport_->SetDeaf(peers);
  }
  // The other server with this key is to have the links for itself: peers keep one of the two.
  bool const wanted = pg_atomic_read_u32(&shared->isolate_request) != 0 || replica_->IsFencedForGood();
  if (wanted == isolated_ || !transport_) return;
  isolated_ = wanted;
  publish_now_ = true;
  transport_->SetIsolated(isolated_);
}

// To members that are behind, what the blocks worker has read for them.
void ConsensusWorker::ServeBlocks() {
  block_service_.Step(
      [this](core::NodeId to) {
        for (const net::PeerStats& peer : transport_->stats())
          if (peer.id == to) return peer.queued_bytes;
        return uint64_t{0};
      },
      [this](core::NodeId to, core::Bytes&& frame) { transport_->SendFrame(to, std::move(frame)); });
}

void ConsensusWorker::SendTo(core::NodeId to, const core::Message& message) {
  if (transport_) transport_->Send(to, message);
}

// Who may have forgotten what it signed, or has begun no incarnation yet, signs no digest either.
void ConsensusWorker::CompareDigests() {
  if (!digests_->Due(now_us_)) return;
  core::ReplicaStatus const status = replica_->status();
  if (!status.incarnation_open || status.fenced) return;
  digests_->Step({status.incarnation, journal_.writer->durable_sequence()}, now_us_,
                 [this](core::NodeId to, const core::Message& m) { SendTo(to, m); });
}

// ---- effects out

void ConsensusWorker::Carry(core::Effects effects) {
  for (core::Effect& effect : effects)
    if (auto* const numbered = std::get_if<core::NumberedEffect>(&effect)) CarryOne(*numbered);
  for (core::Effect& effect : effects)
    if (!std::holds_alternative<core::NumberedEffect>(effect)) std::visit([&](auto& e) { CarryOne(e); }, effect);
}

void ConsensusWorker::CarryOne(core::AppendEffect& e) {
  storage::Error error;
  if (!journal_.writer->Append(e.sequence, e.record, &error))
    throw PgError(kErrHalted, "the journal does not take a record: " + error.message);
  appended_ = e.sequence;
}

void ConsensusWorker::CarryOne(core::SendEffect& e) {
  if (transport_) transport_->Send(e.to, e.message);
}

void ConsensusWorker::CarryOne(core::DeliverEffect& e) {
  const core::BlockHeader& h = e.block->header;
  delivered_ = h.height.value;
  // Who goes on after a block from the future need not be ahead himself: parent + 1 is his only choice.
  if (h.proposer != member_.self && h.time_us > now_us_ + kClockAhead_us && h.time_us > block_time_us_ + 1)
    CountFault(h.proposer, "a clock that is ahead");
  block_time_us_ = h.time_us;
  if (to_report_.waiting() > 0) NoteOnChain(e);
}

void ConsensusWorker::CarryOne(core::NumberedEffect& e) { NoteNumbered(Ticket::Unpack(e.ticket), e.id); }

void ConsensusWorker::CarryOne(core::EvidenceEffect& e) {
  core::EvidenceSlot const slot = core::SlotOf(*e.evidence);
  std::string const name = NodeName(slot.culprit);
  Call([&] {
    ereport(LOG, (errmsg("dadbs: \"%s\" has signed what contradicts itself", name.c_str()),
                  errdetail("Kind of evidence: %s. It goes onto the chain, and stands in dadbs.evidence then.", core::NameOf(slot.kind))));
  });
  to_report_.Found(*e.evidence, now_us_);
}

// Of what another member has reported this one need not say it again. An accusation without proof changes nothing.
void ConsensusWorker::NoteOnChain(const core::DeliverEffect& delivered) {
  for (const auto& batch : delivered.batches)
    for (const core::Bytes& write_set : batch->write_sets) {
      std::optional<core::Evidence> const evidence = core::EvidenceOf(write_set);
      if (evidence && to_report_.Awaits(core::SlotOf(*evidence)) &&
          core::CheckEvidence(*evidence, member_.genesis, core::Ed25519Verifier()).empty())
        to_report_.OnChain(core::SlotOf(*evidence));
    }
}

// The apply worker executes it as any other's.
void ConsensusWorker::ReportEvidence() {
  if (!replica_->CanSubmit()) return;
  std::optional<core::Bytes> const evidence = to_report_.TakeDue(now_us_);
  if (!evidence) return;
  SubmitOwn(core::MakeEvidenceWriteSet(*evidence, Applied(), NewSalt(), now_us_));
}

void ConsensusWorker::CarryOne(core::ServeBlocksEffect& e) { block_service_.Ask(e.to, e.from, e.count); }

void ConsensusWorker::CarryOne(core::StageEffect& e) {
  static constexpr Stage kStageOf[] = {kStageBatch, kStagePropose, kStagePrepare, kStageCommit, kStageJournal};
  AddStage(kStageOf[static_cast<int>(e.stage)], e.micros);
}

void ConsensusWorker::CarryOne(core::RejectedPeerEffect& e) {
  pg_atomic_fetch_add_u64(&shared->rejected_messages, 1);
  rejections_.Log("rejected a message from " + NodeName(e.from) + ": " + e.why, now_us_);
  CountFault(e.from, e.why);
}

void ConsensusWorker::CarryOne(core::ServerLeftEffect& e) {
  pg_atomic_fetch_add_u64(e.is_wrong ? &shared->wrong_answers : &shared->missed_answers, 1);
  if (e.is_wrong) CountFault(e.peer, e.why);
  departures_.Log("asks others than " + NodeName(e.peer) + " for blocks: it gave " + std::string(e.why), now_us_);
}

// One fdatasync for all that the round appended, then what it releases, which may append more.
void ConsensusWorker::MakeDurable() {
  if (!journal_problem_.empty() && std::abs(now_us_ - sync_retry_us_) < kSyncRetryInterval_us) return;
  while (appended_ > journal_.writer->durable_sequence() && replica_->SyncIn() == 0) {
    if (transport_) transport_->Flush();  // what the last step released does not wait for the next fdatasync
    storage::Error error;
    if (!journal_.writer->Sync(&error)) {
      if (journal_problem_.empty()) rejections_.Log("the journal cannot be written: " + error.message, now_us_);
      journal_problem_ = error.message;
      sync_retry_us_ = now_us_;
      publish_now_ = true;
      return;
    }
    if (!journal_problem_.empty()) publish_now_ = true;
    journal_problem_.clear();
    PublishDurable(journal_.writer->durable());
    now_us_ = NowUs();
    Carry(replica_->OnJournalDone(appended_, now_us_));
  }
  if (delivered_ != pg_atomic_read_u64(&shared->delivered_height)) {
    pg_write_barrier();
    pg_atomic_write_u64(&shared->delivered_height, delivered_);
    WakeWorker(&shared->apply);
  }
}

// The journal says what was found, if anything was: the signs outside of it may go.
void ConsensusWorker::SettleSigns() {
  if (signs_settled_ || appended_ > journal_.writer->durable_sequence()) return;
  SettleDoubt();
  signs_settled_ = true;
}

void ConsensusWorker::CutJournal() {
  // The tables may be further than a journal that was put back.
  uint64_t const height = std::min(pg_atomic_read_u64(&shared->durable_applied_height), delivered_);
  if (height <= cut_height_ || std::abs(now_us_ - cut_us_) < kCutInterval_us || !journal_problem_.empty()) return;
  cut_us_ = now_us_;
  cut_height_ = height;
  journal_.writer->Cut(core::Height{height});
}

// ---- what others see, and waiting

void ConsensusWorker::Publish() {
  if (!publish_now_ && std::abs(now_us_ - published_us_) < kPublishInterval_us) return;
  publish_now_ = false;
  published_us_ = now_us_;
  PublishedInputs in;
  in.replica = replica_->status();
  if (transport_) {
    in.peers = transport_->stats();
    in.refused_peers = transport_->refused_count();
  }
  in.journal_problem = journal_problem_;
  in.journal_bytes = journal_.writer->bytes_on_disk();
  in.journal_syncs = journal_.writer->syncs();
  in.isolated = isolated_;
  for (const core::Member& m : member_.genesis.members)
    if (auto const latest = digests_->Latest(m.id)) in.digests.emplace(m.id, *latest);
  publisher_.Publish(in, now_us_);
}

int ConsensusWorker::TimeoutMs() const {
  if (block_service_.more()) return 0;
  if (more_submissions_ && journal_problem_.empty() && replica_->CanSubmit()) return 0;
  int64_t timeout_us = kTickInterval_us;
  if (!gathered_.empty()) timeout_us = std::clamp<int64_t>(guc_batch_delay_us, 1000, timeout_us);
  for (std::optional<int64_t> const& wake_us : {replica_->WakeIn(), replica_->SyncIn()})
    if (wake_us && journal_problem_.empty()) timeout_us = std::clamp<int64_t>(*wake_us, 1000, timeout_us);
  int timeout_ms = static_cast<int>(timeout_us / 1000);
  int const net_ms = transport_ ? transport_->NextTimeoutMs() : -1;
  return net_ms >= 0 ? std::min(timeout_ms, net_ms) : timeout_ms;
}

void ConsensusWorker::Wait() {
  if (std::optional<core::Height> const awaited = replica_->AwaitedApply()) {
    pg_atomic_write_u64(&shared->applied_awaited, awaited->value);
    pg_memory_barrier();  // StepApplied writes `applied` first and looks at this afterwards
    if (core::WholeBlocks(Applied()) >= *awaited) return;
  }
  WaitForEvents(wait_set_, TimeoutMs());
}

}  // namespace

int64_t NowUs() { return GetCurrentTimestamp() + kPostgresEpochUs; }

WaitEventSet* MakeWaitSet(int backend_fd) {
  return Call([&] {
    WaitEventSet* const set = CreateWaitEventSet(TopMemoryContext, 3);
    AddWaitEventToSet(set, WL_LATCH_SET, PGINVALID_SOCKET, MyLatch, nullptr);
    AddWaitEventToSet(set, WL_EXIT_ON_PM_DEATH, PGINVALID_SOCKET, nullptr, nullptr);
    if (backend_fd >= 0) AddWaitEventToSet(set, WL_SOCKET_READABLE, backend_fd, nullptr, nullptr);
    return set;
  });
}

void WaitForEvents(WaitEventSet* set, int timeout_ms) {
  Call([&] {
    WaitEvent event;
    WaitEventSetWait(set, timeout_ms, &event, 1, PG_WAIT_EXTENSION);
    ResetLatch(MyLatch);
  });
}

}  // namespace dadbs::pg

extern "C" void dadbs_consensus_main(Datum) {
  using namespace dadbs::pg;
  RunWorker([] {
    std::optional<MemberConfig> const config = LoadMemberConfig();
    if (!config) return;
    std::optional<Member> member = LoadMember();
    if (!member) return JoinCluster(*config);
    ConsensusWorker worker(std::move(*member));
    worker.Run();
  });
}
