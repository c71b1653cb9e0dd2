/*
 * scenario.h: runs by hand: files of plain lines that say what happens to a simulated cluster, and what must hold.
 *
 *   dadbs_sim --scenarios DIRECTORY [--check-mutations]    all of them
 *   dadbs_sim --scenario FILE [--trace] [--mutation NAME]  one
 *
 * One statement a line; `#` begins a comment. A file is read as a whole before it runs: a line that is not of the
 * language is an error that names file and line. The network takes 1 ms, a disk 0.5 ms, a view change timeout is 100 ms,
 * a batch above 900 bytes is large. Nothing is random but in a fixed way, nothing fails but what a line makes fail. The
 * checkers of the simulator (checker.h) judge after every event; `expect` lines say what must hold beside that.
 *
 *   M     m1, m2, ...        MS     m1,m3 or all             KINDS   of messages: PREPARE,COMMIT or all (below)
 *   "a"   a transaction      TIME   200 ms, 3 s, 1 h, -5 s   RECORD  of a journal (below)
 *   IS    = >= <=            HEIGHT 7, or h, h+2: h is the chain's height when the last `note` was read, or `members`
 *
 *   fails with NAME, NAME    deliberate mistakes (--mutations): with each of them this scenario must fail; --check-mutations
 *                            tries them
 *   members N                starts a cluster of N and waits until it is idle; `members N without MS`: these never ran
 *   run TIME                 lets time pass
 *   note                     h is the height now, and messages are counted from here on
 *
 * Clients
 *   submit M "a"             a transaction is handed to M; `of N bytes`: a large one
 *
 * The network. What is sent anew passes the rules again. A rule is about messages that their sender has sent.
 *   hold KINDS from MS to MS     keeps them;  release: lets all go on, and holds no more;  forget: loses them, and holds no more
 *   drop KINDS from MS to MS     loses them;  delay ... by TIME;  duplicate ...;  pass: ends these three
 *   replay KINDS from MS to MS   all that were ever sent go to others, or once more; `through M`: over its connection;
 *                                `as PREPARE`, `as COMMIT`: under the other name; `twisted through M`: altered here and there
 *   cut MS from MS               no link between them; `cut one way MS from MS`: what the second ones send the first don't get
 *   heal                         ends all of this; what was held is released
 *
 * Members
 *   crash MS                     what it had written survives; `losing unsynced`: only what was synced
 *   crash M when its next RECORD is written | is durable     not synced, so lost | nothing that follows from it has left
 *   crash M after sending KINDS to M                         in the middle of a broadcast, which goes in the members' order
 *   start MS
 *   pause MS, resume MS          SIGSTOP: nothing is closed, what comes waits
 *   hang disk of MS, free disk of MS
 *   clock MS TIME                steps by that much
 *   snapshot M, restore M        of its files, then back onto them (it is down then)
 *   roll back M by N records | to height HEIGHT | to before its last RECORD       (it is down)
 *   flip row of MS               all rows of its tables change, silently, of each member in another way; `alike`: of all in the same way
 *   clone M                      a second server with its key, from the snapshot or from the files as they are: the next number
 *   rejoin M                     its operator says that it may have forgotten (it is down)
 *   cut journal of M             as far as may be (it is down); `to begin with RECORD`: to such a place
 *   byzantine M [LIE]            is not judged from here on; it keeps the rules but for the lie, if there is one: equivocates, votes for all,
 *                                proposes in the future, proposes an old batch, hides what it prepared, invents what was prepared,
 *                                begins views with too few, begins views with one twice, claims that others forgot,
 *                                hides signatures, claims heights, serves twisted blocks, serves other bodies, sends two batches,
 *                                says no digests, other digests, two digests, far digests, digests for others
 *   ask for view N as M          it signs a VIEW-CHANGE with its own key, whatever it did before
 *   accuse as M                  it puts evidence onto the chain that is none, of all kinds, made of what was sent
 *   strangers certify a block for MS        with keys of nobody
 *   M alone certifies a block for MS        its votes under the names of all
 *
 * What must hold: now, `within TIME` at some moment, `for TIME` at every one
 *   expect height MS IS HEIGHT           expect view MS IS N
 *   expect equal [MS]                    they stand at one height
 *   expect verdict "a" committed | open | never        never: its incarnation is closed, and it is not on the chain
 *   expect "a" before "b"                on the chain
 *   expect memory MS intact | unchecked | learner | fenced
 *   expect take writes MS, expect refuse writes MS, expect up MS, expect down MS
 *   expect sent KINDS by MS IS N         one to all others counts once for each
 *   expect rejected by M IS N            bad messages
 *   expect evidence against MS IS N      on the chain
 *   expect diverged MS                   they know that a quorum has come to something else; `no quorum at MS`: that nothing is shared
 *                                        by one; `undiverged MS`: they have found nothing
 *   expect agreed MS IS HEIGHT           where they last had the same as a quorum: before what they found, or up to now
 *   expect settled [MS]                  nothing waits, all stand at the same height
 *   expect live within TIME [of MS]      settled, and new transactions of each of them that takes writes are settled too
 * Without MS they are all that run and are neither byzantine, paused, nor fenced.
 *
 * KINDS: BATCH ACK BATCH-REQUEST INCARNATION PROPOSAL PREPARE COMMIT STATUS BLOCK-REQUEST BLOCK VIEW-CHANGE NEW-VIEW
 * QUESTION ANSWER (of who may have forgotten) DIGEST. RECORD: INCARNATION BATCH PROPOSAL PREPARE COMMIT BLOCK VIEW-CHANGE
 * NEW-VIEW MEMORY.
 */
#pragma once

#include <functional>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "cluster.h"

namespace dadbs::sim {

class Scenario : private Script {
 public:
  using Failure = sim::Failure;
  explicit Scenario(const std::string& path);  // std::runtime_error: file, line, what
  const std::vector<std::string>& fails_with() const { return fails_with_; }
  void Run(bool trace);  // Failure or core::BrokenInvariant: what did not hold, and in which line

  // ---- what the table of statements in scenario.cpp is written with
  using Members = std::vector<core::NodeId>;
  using Names = std::set<std::string>;
  struct Value {
    Members members;
    bool is_all = false;
    Names kinds;
    int64_t number = 0;
    bool is_relative = false;  // a height: above h
    std::string text;
    core::NodeId member() const { return members.front(); }
  };
  using Values = std::vector<Value>;
  using Statement = std::function<void(Scenario&, const Values&)>;
  using Expectation = std::function<std::string(Scenario&, const Values&)>;  // empty: it holds

  enum class What { kHold, kDrop, kDelay, kDuplicate };
  void Begin(int64_t n, const Value* without);
  void RunFor(int64_t us) { cluster_->RunFor(us); }
  void Note();
  void Submit(core::NodeId member, const std::string& name, size_t size);
  void AddRule(What what, const Value& kinds, const Value& from, const Value& to, int64_t delay_us = 0);
  void Release(bool deliver);
  void Pass();
  void Replay(const Value& kinds, const Value& from, const Value& to, const Value* through, const Value* as, bool twisted);
  void Cut(const Value& these, const Value& those, bool one_way);
  void Heal();
  void Crash(const Value& members, bool keeps_unsynced);
  enum class Moment { kWritten, kDurable, kSent };
  void CrashWhen(Moment moment, const Value& member, const Value& what, const Value* to);
  void Start(const Value& members);
  void Pause(const Value& members, bool paused);
  void HangDisk(const Value& members, bool hangs);
  void StepClock(const Value& members, int64_t us);
  void Snapshot(core::NodeId member);
  void Restore(core::NodeId member);
  void RollBackBy(core::NodeId member, size_t records);
  void RollBackTo(core::NodeId member, core::Height height);
  void RollBackBefore(core::NodeId member, const std::string& record);
  void FlipRow(const Value& members, bool alike);
  void Clone(core::NodeId member);
  void Rejoin(core::NodeId member);
  void CutJournal(core::NodeId member, const Value* record);
  void MakeByzantine(core::NodeId member, std::optional<Lie> lie);
  void AskForView(core::NodeId member, uint64_t view);
  void AccuseAs(core::NodeId member);
  void CertifyFalsely(const Value& members, core::NodeId by);  // kNobody: strangers

  core::Height HeightOf(const Value& value) const;
  std::string ExpectHeight(const Value& members, const Value& is, const Value& height);
  std::string ExpectView(const Value& members, const Value& is, const Value& view);
  std::string ExpectEqual(const Members& members);
  std::string ExpectVerdict(const std::string& name, const std::string& verdict);
  std::string ExpectOrder(const std::string& first, const std::string& second);
  std::string ExpectMemory(const Value& members, const std::string& memory);
  std::string ExpectWrites(const Value& members, bool takes);
  std::string ExpectUp(const Value& members, bool up);
  std::string ExpectSent(const Value& kinds, const Value& members, const Value& is, const Value& count);
  std::string ExpectRejected(core::NodeId member, const Value& is, const Value& count);
  std::string ExpectEvidence(const Value& members, const Value& is, const Value& count);
  std::string ExpectFound(const Value& members, const std::string& what);
  std::string ExpectAgreed(const Value& members, const Value& is, const Value& height);
  std::string ExpectSettled(const Members& members);
  void ExpectLive(const Value* members, int64_t within_us);
  // Within that time at some moment, or all the time.
  void Expect(const std::function<std::string()>& holds, bool at_some_moment, int64_t time_us);
  Members Well() const;  // that run and are neither byzantine, paused, nor fenced
  Members These(const Value& value) const;

 private:
  struct Line {
    size_t number = 0;
    std::string text;
    Statement statement;
    Values values;
  };
  struct Rule {
    What what;
    Names kinds;
    std::set<uint16_t> from, to;
    int64_t delay_us = 0;
  };
  struct Sent {
    core::NodeId from, to;
    core::Message message;
  };
  struct Trap {
    Moment moment;
    core::NodeId member, to;
    Names what;
  };
  struct Files {
    std::vector<core::JournalRecord> journal;
    uint64_t first_sequence = 1;
  };
  void Parse(size_t number, const std::string& text);
  bool ParseExpectation(const std::vector<std::string>& words, Line* line);
  Cluster::Node& node(core::NodeId place) const;
  Cluster::Node& Down(core::NodeId place) const;
  void Inject(core::NodeId from, core::NodeId to, core::Message message);
  bool Springs(Moment moment, core::NodeId node, core::NodeId to, const std::string& what);
  void ForgetTo(Cluster::Node& node, size_t keep);
  std::string Standing() const;

  bool Takes(core::NodeId from, core::NodeId to, const core::Message& message) override;
  bool CrashesAfterSend(core::NodeId from, core::NodeId to, const core::Message& message) override;
  bool CrashesAtWrite(core::NodeId node, const core::JournalRecord& record) override;
  bool CrashesWhenDurable(core::NodeId node, const core::JournalRecord& record) override;
  void OnNumbered(core::NodeId node, uint64_t ticket, const core::TransactionId& id) override;
  void OnRejected(core::NodeId node) override { rejected_[node.value]++; }

  std::string path_;
  std::vector<Line> lines_;
  std::vector<std::string> fails_with_;
  bool trace_ = false;
  Profile profile_;
  std::unique_ptr<Cluster> cluster_;
  std::vector<Rule> rules_;
  std::vector<Sent> held_, sent_;
  std::vector<Trap> traps_;
  std::map<uint16_t, Files> snapshots_;
  std::map<std::pair<uint16_t, uint64_t>, std::string> tickets_;
  std::map<std::string, core::TransactionId> numbered_;
  std::map<std::pair<std::string, uint16_t>, int64_t> counts_;  // of messages sent, by kind and sender
  std::map<uint16_t, int64_t> rejected_;
  bool passes_ = false;  // what is transmitted now has met the rules
  core::Height noted_;
};

// Empty: it passed.
std::string RunScenario(const std::string& path, bool trace);

}  // namespace dadbs::sim
