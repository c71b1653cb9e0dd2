/*
 * replica_fixture.h: replicas whose messages wait in a list, and whose journals become durable when the test says so.
 */
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <deque>
#include <functional>

#include "../sim/model_crypto.h"
#include "dadbs/core/check.h"
#include "dadbs/core/replica.h"
#include "dadbs/core/write_set.h"

namespace dadbs::core::test {

inline constexpr int64_t kNow = 1'700'000'000'000'000;

inline Bytes WriteSet(const std::string& text) {
  RowChange row;
  row.relation = {"public", "t"};
  row.row.push_back({'t', AsBytes(text)});
  WriteSetBuilder builder(WriteSetKind::kRows);
  builder.Add(Salt{}, EncodeChange(row));
  return builder.Finish({});
}

class CountingVerifier : public Verifier {
 public:
  explicit CountingVerifier(const Verifier* verifier) : verifier_(verifier) {}
  bool Verify(const PublicKey& key, ByteView message, const Signature& signature) const override {
    count++;
    return verifier_->Verify(key, message, signature);
  }
  mutable int count = 0;

 private:
  const Verifier* verifier_;
};

struct Letter {
  NodeId from, to;
  Message message;
};

struct TestMember {
  std::unique_ptr<sim::ModelSigner> signer;
  std::unique_ptr<Replica> replica;
  std::vector<JournalRecord> journal;
  size_t durable = 0;
  std::vector<DeliverEffect> delivered;
  Height applied;
  std::vector<TransactionId> numbered;
  std::vector<std::string> rejected;
  std::vector<ServeBlocksEffect> served;
  std::vector<ServerLeftEffect> left;
  std::vector<std::shared_ptr<const Evidence>> evidence;
};

class Harness {
 public:
  explicit Harness(size_t n, ReplicaLimits limits = {}) : verifier(&table), limits_(limits) {
    genesis.cluster_name = "test";
    genesis.created_at_us = kNow - 1'000'000;
    for (size_t i = 0; i < n; i++) {
      PublicKey key;
      key.bytes[0] = static_cast<uint8_t>(i + 1);
      TestMember m;
      m.signer = std::make_unique<sim::ModelSigner>(&table, key);
      genesis.members.push_back({Id(i), "m" + std::to_string(i + 1), "h:1", key});
      members.push_back(std::move(m));
    }
    for (TestMember& m : members) {
      m.journal.push_back(GenesisRecord{genesis.Encode(), NodeId{static_cast<uint16_t>(&m - &members[0] + 1)}});
      m.durable = 1;
    }
  }

  static NodeId Id(size_t i) { return NodeId{static_cast<uint16_t>(i + 1)}; }
  TestMember& at(size_t i) { return members[i]; }

  void Start(size_t i) {
    TestMember& m = members[i];
    RecoveredState state;
    for (size_t k = 0; k < m.journal.size(); k++) ASSERT_EQ(state.Apply(m.journal[k], k + 1), "");
    state.doubt = doubt;
    state.awaits_tables = awaits_tables;
    Nonce nonce;
    nonce.bytes[0] = ++starts_;
    m.replica = std::make_unique<Replica>(Id(i), *m.signer, verifier, limits_, std::move(state), nonce, now);
    for (size_t j = 0; j < members.size(); j++)
      if (j != i && members[j].replica) {
        Take(i, m.replica->OnConnected(Id(j), now));
        Take(j, members[j].replica->OnConnected(Id(i), now));
      }
    Take(i, m.replica->Start(now));
  }
  // What was appended and not durable is lost.
  void Crash(size_t i) {
    TestMember& m = members[i];
    m.replica.reset();
    m.journal.resize(m.durable);
    for (size_t j = 0; j < members.size(); j++)
      if (members[j].replica) Take(j, members[j].replica->OnDisconnected(Id(i), now));
  }
  void Open() {  // all members, their incarnations on the chain
    for (size_t i = 0; i < members.size(); i++) Start(i);
    Run();
    for (TestMember& m : members) ASSERT_TRUE(m.replica->CanSubmit());
  }

  Height LeaveBehind(size_t i) {  // it is down while the others, open, go on by 30 blocks; where they are then
    Open();
    Crash(i);
    for (int k = 0; k < 30; k++) {
      Submit(0, "w" + std::to_string(k));
      Run();
    }
    return at(0).replica->status().committed;
  }

  void Take(size_t i, Effects effects) {
    TestMember& m = members[i];
    for (Effect& effect : effects) {
      if (auto* e = std::get_if<AppendEffect>(&effect)) {
        ASSERT_EQ(e->sequence, m.journal.size() + 1);
        m.journal.push_back(std::move(e->record));
      }
      if (auto* e = std::get_if<SendEffect>(&effect))
        for (size_t j = 0; j < members.size(); j++)
          if (j != i && (e->to == kNobody || e->to == Id(j))) letters.push_back({Id(i), Id(j), e->message});
      if (auto* e = std::get_if<DeliverEffect>(&effect)) m.delivered.push_back(*e);
      if (auto* e = std::get_if<NumberedEffect>(&effect)) m.numbered.push_back(e->id);
      if (auto* e = std::get_if<RejectedPeerEffect>(&effect)) m.rejected.push_back(e->why);
      if (auto* e = std::get_if<ServeBlocksEffect>(&effect)) m.served.push_back(*e);
      if (auto* e = std::get_if<ServerLeftEffect>(&effect)) m.left.push_back(*e);
      if (auto* e = std::get_if<EvidenceEffect>(&effect)) m.evidence.push_back(e->evidence);
    }
    if (applies && !m.delivered.empty() && m.delivered.back().block->header.height > m.applied) {
      m.applied = m.delivered.back().block->header.height;
      Take(i, m.replica->OnApplied(m.applied, now));
    }
  }
  bool Sync(size_t i) {
    TestMember& m = members[i];
    if (!m.replica || m.durable == m.journal.size() || (patient && m.replica->SyncIn() != 0)) return false;
    m.durable = m.journal.size();
    Take(i, m.replica->OnJournalDone(m.durable, now));
    return true;
  }
  void Give(size_t i, NodeId from, Message message) {
    Take(i, members[i].replica->OnMessage(from, std::move(message), now));
    Take(i, members[i].replica->OnEventsEnd(now));
  }
  void Submit(size_t i, const std::string& text) {
    Take(i, members[i].replica->OnSubmit(7, WriteSet(text), now));
    Take(i, members[i].replica->OnEventsEnd(now));
  }
  // One round of messages; those for which `lost` says so never arrive.
  bool Step() {
    std::deque<Letter> round;
    round.swap(letters);
    for (Letter& letter : round) {
      const size_t to = letter.to.value - 1u;
      if (members[to].replica && !(lost && lost(letter))) Give(to, letter.from, std::move(letter.message));
    }
    bool synced = false;
    for (size_t i = 0; i < members.size(); i++) synced = Sync(i) || synced;
    return synced || !round.empty();
  }
  void Run() {
    for (int i = 0; i < 1000 && Step(); i++) {
    }
  }
  void Tick(int64_t later_us) {
    now += later_us;
    for (size_t i = 0; i < members.size(); i++)
      if (members[i].replica) Take(i, members[i].replica->OnTick(now));
  }
  // Time passes as it does in a server: ticks, and between them messages come and the disk is done.
  void Wait(int64_t us) {
    for (int64_t gone = 0; gone < us; gone += 50'000) {
      Tick(50'000);
      Run();
    }
  }
  template <class M>
  std::vector<M> Sent(NodeId from, NodeId to) {
    std::vector<M> found;
    for (const Letter& letter : letters)
      if (letter.from == from && letter.to == to)
        if (const auto* m = std::get_if<M>(&letter.message)) found.push_back(*m);
    return found;
  }
  template <class R>
  size_t Records(size_t i) {
    return static_cast<size_t>(std::count_if(members[i].journal.begin(), members[i].journal.end(),
                                             [](const JournalRecord& r) { return std::holds_alternative<R>(r); }));
  }
  Signed SignVote(size_t i, Phase phase, Height height, const Digest& hash, View view = View{0}) {
    Signed s{Id(i), 1, 1, {}};
    const SignContext context{genesis.chain_id(), Epoch{1}};
    s.signature = members[i].signer->Sign(VoteSigningBytes(context, phase, s.signer, 1, 1, view, height, hash));
    return s;
  }
  VoteMessage Vote(size_t i, Phase phase, Height height, const Digest& hash) {
    return {phase, Epoch{1}, View{0}, height, hash, SignVote(i, phase, height, hash)};
  }
  // The proposal that member 1 sends for one write set of its own; it and the batch wait in the caller's hands.
  std::pair<ProposalMessage, BatchMessage> HeldBack() {
    Submit(0, "held back");
    Sync(0);
    auto proposal = Sent<ProposalMessage>(Id(0), Id(1)).at(0);
    auto batch = Sent<BatchMessage>(Id(0), Id(1)).at(0);
    letters.clear();
    return {proposal, batch};
  }
  ProposalMessage At(ProposalMessage proposal, int64_t time_us) {
    auto block = std::make_shared<Block>(*proposal.block);
    block->header.time_us = time_us;
    return {View{0}, block, SignVote(0, Phase::kPrepare, block->header.height, block->header.hash())};
  }

  sim::SignatureTable table;
  CountingVerifier verifier;
  Genesis genesis;
  std::vector<TestMember> members;
  std::deque<Letter> letters;
  std::function<bool(const Letter&)> lost;
  int64_t now = kNow;
  bool applies = true;   // what is delivered is applied at once
  const char* doubt = nullptr;  // of the owner of whoever starts now
  bool awaits_tables = false;      // of those that start from now on
  bool patient = false;  // the journal waits as long as it may

 private:
  uint8_t starts_ = 0;
  ReplicaLimits limits_;
};

inline bool Rejected(const TestMember& m, const std::string& what) {
  return std::any_of(m.rejected.begin(), m.rejected.end(),
                     [&](const std::string& why) { return why.find(what) != why.npos; });
}

}  // namespace dadbs::core::test
