/*
 * cluster.h: one simulated run: replicas, network, disks, clocks, clients, faults, all from one seed.
 *
 * Time is virtual; an event happens at a time and in an order that the seed fixes. A member is its journal (records,
 * how many of them are durable) and a replica made from it. A crash may come between any two effects of a step, and
 * between the sends of one broadcast; of what was appended and not synced, any prefix survives. First a phase with
 * faults; then everything is healed, and the cluster has to order all that was submitted and more, within a bound. In
 * some runs its primaries then fail one after the other, and each time the rest has to go on within a shorter bound.
 *
 * In some runs one member comes back on an older state of its journal, as from a snapshot: in the middle of everything
 * where it and the faulty member are at most f, and where all is well and idle in clusters of every size; sometimes all
 * others lose their power with it. It must never vote again where it has forgotten what it voted, once anybody has shown
 * it that it has, and be back within the bound. In some runs a clone of one is started beside it, from the same journal or an
 * older one; each other member has a link to one of the two, now this one, now that; one of them must stay, and only one.
 *
 * Each member has tables (model_database.h), and says what it has come to. In some runs rows of some members flip, at any moment or
 * at one height alike, up to f of them or any number; who differs must find out, and nobody else, while the order goes on (auditor.h).
 */
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>

#include "adversary.h"
#include "auditor.h"
#include "checker.h"
#include "digest_liar.h"
#include "jury.h"
#include "model_crypto.h"
#include "summary.h"

namespace dadbs::sim {

struct Profile;

// What a scenario (scenario.h) sees of a run and does to it, event by event. Members by their places.
class Script {
 public:
  virtual ~Script() = default;
  virtual bool Takes(core::NodeId from, core::NodeId to, const core::Message& message) = 0;  // it does not go its way now
  virtual bool CrashesAfterSend(core::NodeId from, core::NodeId to, const core::Message& message) = 0;
  virtual bool CrashesAtWrite(core::NodeId node, const core::JournalRecord& record) = 0;
  virtual bool CrashesWhenDurable(core::NodeId node, const core::JournalRecord& record) = 0;
  virtual void OnNumbered(core::NodeId node, uint64_t ticket, const core::TransactionId& id) = 0;
  virtual void OnRejected(core::NodeId node) = 0;
};

struct Options {
  uint64_t seed = 1;
  bool real_signatures = false;
  bool verbose = false;
  bool trace = false;
  const Profile* profile = nullptr;  // of a scenario; null: drawn from the seed
  Script* script = nullptr;
};

// What goes wrong in this run, and how much. Drawn from the seed.
struct Profile {
  size_t n = 4;
  double loss = 0, duplication = 0;
  int64_t delay_min_us = 200, delay_max_us = 5'000;
  int64_t disk_min_us = 100, disk_max_us = 3'000;
  double disk_stall = 0;       // chance per sync of 100 to 400 ms
  int64_t crash_every_us = 0;  // mean, over all members; 0: never
  int64_t cut_every_us = 0;    // of links
  int64_t skew_us = 0;
  int64_t submit_every_us = 30'000;
  double slander = 0;  // chance that what the faulty member submits is false evidence
  double large = 0;  // chance of a write set above the inline limit
  double attack_every_us = 0;
  core::NodeId faulty = core::kNobody;
  core::NodeId exile = core::kNobody;  // down until the healing: from the start, or from this time on
  int64_t exile_at_us = 0;
  bool siege = false;  // in the end, one primary after the other
  core::NodeId amnesiac = core::kNobody;  // may come back from its crashes on an older journal
  bool relapse = false;                   // in the end, one member does so while all is well
  bool clone = false;                     // in the end, a second server with the key of one of them
  double hunt = 0;  // chance, each 20 ms, that whoever is primary now crashes or is cut off
  int64_t fault_phase_us = 2'000'000;
  double more_events = 0.1;   // chance that more are at hand behind an event
  double cut = 0.3;           // chance that a start finds a journal without its old segments
  int64_t apply_max_us = 20'000;
  // Of divergence, by dice of their own.
  std::map<core::NodeId, int64_t> flips;         // when a row of a member flips
  std::set<core::NodeId> same_fault;             // whose rows flip alike when they come to one height
  int64_t same_fault_at_us = 0;
};

class Cluster {
 public:
  explicit Cluster(const Options& options);
  ~Cluster();
  Summary Run();  // throws Failure, or core::BrokenInvariant

 private:
  static constexpr int64_t kTickUs = 12'000;
  friend class Scenario;
  struct Fault {  // of what it runs: at this height its row flips
    core::Height height;
    size_t row = 0;
    uint64_t by = 0;
  };
  struct Node {
    core::NodeId id;
    std::unique_ptr<core::Signer> signer;
    std::unique_ptr<core::Replica> replica;  // null: down
    uint64_t life = 0;
    std::vector<core::JournalRecord> journal;
    uint64_t first_sequence = 1;  // of journal[0]
    size_t durable = 0;           // records
    bool syncing = false;
    int64_t clock_offset_us = 0;
    int crash_after_effects = 0;                  // armed, if above 0
    std::map<uint64_t, core::Digest> identities;  // ticket -> write set
    uint64_t tickets = 0;
    uint64_t generation = 0;  // nonce of the next incarnation
    core::Nonce nonce;        // of this life
    bool told_to_rejoin = false;  // by its operator
    bool has_forgotten = false;   // ever
    uint64_t forgot_in_era = 0;   // the last time
    bool forgets = false;         // its next life is the first one since it was rolled back
    bool keeps_rest = false;      // the next crash does not roll it back again
    std::unique_ptr<core::EvidenceToReport> to_report;  // of this life
    std::map<uint16_t, std::pair<uint64_t, uint64_t>> heard;  // in this life, by signer: the newest vote
    std::set<uint16_t> knows_lost;  // members that have forgotten something of that
    uint64_t cut_behind = 0;      // the sequence with which its journal was durable when it was cut
    bool paused = false;
    bool disk_hangs = false;
    std::vector<std::function<void()>> backlog;  // what happens when it goes on
    std::optional<Tables> tables, kept;           // as they are; as they were when the last digest became durable
    std::pair<core::Height, core::Digest> digest;  // the last one that may be said
    core::Height taken, seen;                     // where the last one was taken; where it stood
    int64_t seen_at = 0;                          // since then
    std::optional<Fault> fault;
    std::unique_ptr<core::DigestExchange> digests;  // of this life
    bool has_found = false;                       // durably: it takes no writes
    bool writes_finding = false;
  };
  using Action = std::function<void()>;

  void DrawProfile();
  core::ReplicaLimits Limits() const;
  void At(int64_t delay_us, Action action);
  void Step();
  int64_t WallOf(const Node& node) const { return 1'700'000'000'000'000 + now_ + node.clock_offset_us; }
  // Members are known by their places, which are their ids; only a clone's is its own.
  Node& node(core::NodeId place) { return *nodes_[place.value - 1]; }
  core::NodeId IdOf(core::NodeId place) const { return place.value > profile_.n ? cloned_ : place; }
  std::unique_ptr<core::Signer> MakeSigner(core::NodeId id);

  void Carry(Node& node, core::Effects effects);
  void CarryOne(Node& node, core::Effect& effect);
  void Append(Node& node, core::AppendEffect& effect);
  void Send(Node& from, core::NodeId to, const core::Message& message);
  void Transmit(core::NodeId from, core::NodeId to, core::Message message);
  void Deliver(Node& node, core::DeliverEffect& effect);
  void NoteDelivery(Node& node, const core::DeliverEffect& effect);
  void ServeOld(Node& node, const core::ServeBlocksEffect& effect);
  void TakeMessage(Node& node, core::NodeId from, core::Message message);
  bool TakesWrites(const Node& node) const;
  // cluster_digests.cpp
  void DrawDivergence();
  void StartFlips();
  void FlipRow(Node& node, size_t row, uint64_t by);
  void StartDigests(Node& node);
  void ForgetDigests(Node& node);
  void Apply(Node& node, core::Height height);
  void TakeDigest(Node& node);
  void SayDigest(Node& node);
  void SendDigest(Node& node, core::NodeId to);
  void Greet(Node& node, core::NodeId peer);
  void HearDigest(Node& node, core::NodeId from, const core::StateDigest& state);
  void NoteFinding(Node& node);
  void DigestAttackLoop();
  bool HasFound(const Node& node) const { return node.has_found || (node.digests && node.digests->finding()); }
  bool AwaitsDigests(const core::Message& message, const Node& node) const;
  void JudgeDigests();
  void StartSync(Node& node);
  void SyncDone(Node& node, size_t count);
  bool CrashNow(Node& node);
  void Crash(Node& node, std::optional<size_t> survives = std::nullopt);  // that many records; none: any that may
  void RollBack(Node& node);
  void Forget(Node& node, std::vector<core::JournalRecord> kept, uint64_t first_sequence);
  void Heard(Node& receiver, core::NodeId from, const core::Message& message);
  void UnfenceAsOperator();
  void Restart(Node& node);
  core::RecoveredState Fold(Node& node);
  size_t MayCut(const Node& node) const;
  void CutJournal(Node& node, size_t count);
  void DeliverFromJournal(Node& node, const core::JournalRecord& record, const core::RecoveredState& state);
  bool Linked(core::NodeId a, core::NodeId b) const { return links_[a.value][b.value]; }
  void Link(core::NodeId a, core::NodeId b, bool up);
  void For(Node& node, Action action);  // now, or when it goes on
  void Tick(Node& node);
  void Submit(Node& node, size_t count);
  void SubmitOne(Node& node, core::Bytes write_set);
  void Report(Node& node);
  void Accuse(Node& node, const core::Evidence& evidence);
  void EndEvents(Node& node);
  void ClientLoop(Node& node);
  void FaultLoop();
  void AttackLoop();
  void StepClocks();
  void HuntPrimary();
  void CutOff(core::NodeId victim, int64_t for_us);
  void Heal();
  bool Settled();
  void RunUntilSettled(const char* what, int64_t bound_us);
  void Siege();
  Node& MayForget(core::NodeId drawn);
  void Relapse();
  void Clone();
  Node& MakeClone(core::NodeId original);
  void ShareLinks(Node& original, Node& clone);
  void RunFor(int64_t us);
  void Trace(core::NodeId node, const std::string& what);

  Options options_;
  Random random_;
  Random dice_;  // for all that has to do with digests, so that the rest of a run does not depend on it
  Profile profile_;
  SignatureTable table_;
  const core::Verifier* verifier_;
  core::Genesis genesis_;
  std::unique_ptr<Checker> checker_;
  std::unique_ptr<Jury> jury_;
  std::unique_ptr<Auditor> auditor_;
  std::unique_ptr<Adversary> adversary_;
  std::unique_ptr<DigestLiar> digest_liar_;
  std::vector<std::unique_ptr<Node>> nodes_;
  bool links_[16][16] = {};
  bool cut_[16][16] = {};  // by a scenario: no link comes up
  uint64_t link_generation_[16][16] = {};
  std::map<std::pair<int64_t, uint64_t>, Action> events_;
  uint64_t event_order_ = 0;
  int64_t now_ = 0;
  bool faults_ = true;
  core::NodeId away_ = core::kNobody;  // of a siege: crashed or cut off; of two servers with one key, the one that has gone
  core::NodeId cloned_ = core::kNobody;
  std::map<uint64_t, core::NodeId> begun_by_;  // incarnations of that one, since there are two: the place of the first to begin it
  Summary summary_;
};

}  // namespace dadbs::sim
