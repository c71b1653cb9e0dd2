/*
 * bench.cpp: four replicas in one thread; messages are handed over at once, the journal is durable at once. What is
 * left is the replica's own work, and its signatures, in processor time of all four together. A member of a real
 * cluster has a processor of its own: four times these rates.
 */
#include "bench.h"

#include <cstdio>
#include <ctime>
#include <deque>
#include <memory>

#include "adversary.h"
#include "dadbs/core/replica.h"
#include "dadbs/core/write_set.h"
#include "model_crypto.h"

namespace dadbs::sim {

using namespace dadbs::core;

namespace {

class Bench {
 public:
  Bench(bool real_signatures, size_t write_sets_at_once);
  void Run(double seconds);

 private:
  struct Letter {
    NodeId from, to;
    Message message;
  };
  void Carry(size_t node, Effects effects);
  void Submit(size_t node);

  static constexpr size_t kMembers = 4;
  bool real_signatures_;
  size_t at_once_;
  SignatureTable table_;
  Genesis genesis_;
  Random random_{1};
  std::vector<std::unique_ptr<Signer>> signers_;
  std::vector<std::unique_ptr<Replica>> replicas_;
  std::deque<Letter> letters_;
  uint64_t appended_[kMembers] = {}, durable_[kMembers] = {};
  uint64_t delivered_ = 0, transactions_ = 0, ticket_ = 0;
  int64_t now_ = 1'700'000'000'000'000;
};

Bench::Bench(bool real_signatures, size_t write_sets_at_once)
    : real_signatures_(real_signatures), at_once_(write_sets_at_once) {
  genesis_.cluster_name = "bench";
  genesis_.created_at_us = now_ - 1'000'000;
  for (size_t i = 1; i <= kMembers; i++) {
    PublicKey key;
    key.bytes[0] = static_cast<uint8_t>(i);
    if (real_signatures) {
      signers_.push_back(MakeEd25519Signer(Bytes(32, static_cast<uint8_t>(i))));
    } else {
      signers_.push_back(std::make_unique<ModelSigner>(&table_, key));
    }
    genesis_.members.push_back(
        {NodeId{static_cast<uint16_t>(i)}, "m" + std::to_string(i), "m:1", signers_.back()->public_key()});
  }
}

void Bench::Carry(size_t node, Effects effects) {
  const NodeId self{static_cast<uint16_t>(node + 1)};
  for (Effect& effect : effects) {
    if (auto* e = std::get_if<AppendEffect>(&effect)) appended_[node] = e->sequence;
    if (auto* e = std::get_if<SendEffect>(&effect))
      for (const Member& m : genesis_.members)
        if (m.id != self && (e->to == kNobody || e->to == m.id)) letters_.push_back({self, m.id, e->message});
    if (auto* e = std::get_if<DeliverEffect>(&effect)) {
      Carry(node, replicas_[node]->OnApplied(e->block->header.height, now_));
      if (node != 0) continue;
      delivered_++;
      transactions_ += e->block->header.transaction_count;
    }
  }
}

void Bench::Submit(size_t node) {
  while (replicas_[node]->CanSubmit() && replicas_[node]->status().submitted_waiting < at_once_) {
    ticket_++;
    Carry(node, replicas_[node]->OnSubmit(ticket_, MakeWriteSet(NodeId{1}, ticket_, 100, &random_), now_));
  }
  Carry(node, replicas_[node]->OnEventsEnd(now_));
}

void Bench::Run(double seconds) {
  const Verifier& verifier = real_signatures_ ? Ed25519Verifier() : static_cast<const Verifier&>(table_);
  for (size_t i = 0; i < kMembers; i++) {
    RecoveredState state;
    state.Apply(GenesisRecord{genesis_.Encode(), genesis_.members[i].id}, 1);
    replicas_.push_back(std::make_unique<Replica>(genesis_.members[i].id, *signers_[i], verifier, ReplicaLimits{},
                                                  std::move(state), Nonce{}, now_));
  }
  for (size_t i = 0; i < kMembers; i++) {
    for (const Member& m : genesis_.members)
      if (m.id != genesis_.members[i].id) Carry(i, replicas_[i]->OnConnected(m.id, now_));
    Carry(i, replicas_[i]->Start(now_));
  }
  const std::clock_t begin = std::clock();  // processor time: other load does not count
  double took = 0;
  while (took < seconds) {
    for (size_t i = 0; i < kMembers; i++) {
      Submit(i);
      if (appended_[i] > durable_[i]) {
        durable_[i] = appended_[i];
        Carry(i, replicas_[i]->OnJournalDone(durable_[i], now_));
      }
    }
    for (size_t left = letters_.size(); left > 0; left--) {
      Letter letter = std::move(letters_.front());
      letters_.pop_front();
      const size_t to = letter.to.value - 1u;
      Carry(to, replicas_[to]->OnMessage(letter.from, std::move(letter.message), now_));
      Carry(to, replicas_[to]->OnEventsEnd(now_));
    }
    now_ += 100;
    took = static_cast<double>(std::clock() - begin) / CLOCKS_PER_SEC;
  }
  std::printf("%-20s %3zu write sets of each member at once: %7.0f blocks/s, %8.0f transactions/s\n",
              real_signatures_ ? "Ed25519" : "modelled signatures", at_once_, static_cast<double>(delivered_) / took,
              static_cast<double>(transactions_) / took);
}

}  // namespace

void RunBench(bool real_signatures) {
  for (size_t at_once : {1, 8, 64}) Bench(real_signatures, at_once).Run(1);
}

}  // namespace dadbs::sim
