// Who has forgotten what it signed: it notices, learns, and comes back in a new era.
#include "replica_fixture.h"

namespace dadbs::core {
namespace {

using test::Harness;
using test::Letter;

template <class M>
bool Is(const Letter& letter) {
  return std::holds_alternative<M>(letter.message);
}

// Member i comes back on the first `records` of its journal.
void RollBack(Harness& h, size_t i, size_t records) {
  h.at(i).journal.resize(records);
  h.at(i).durable = records;
  h.at(i).delivered.clear();
  h.at(i).applied = Height{};
}

ReplicaStatus StatusOf(Harness& h, size_t i) { return h.at(i).replica->status(); }

size_t OwnVotes(Harness& h, size_t i) { return h.Records<PrepareRecord>(i) + h.Records<CommitRecord>(i); }

// Open, some blocks; then member i goes back to where it stood when it was opened.
void Forget(Harness& h, size_t i) {
  h.Open();
  const size_t then = h.at(i).durable;
  for (int k = 0; k < 3; k++) {
    h.Submit(i, "a" + std::to_string(k));
    h.Run();
  }
  h.Crash(i);
  RollBack(h, i, then);
}

// ---- a start -------------------------------------------------------------------------------------------------------

TEST(Memory, ASoundStartTakesOneRoundTrip) {
  Harness h(4);
  h.Open();
  h.Crash(3);
  h.Start(3);
  EXPECT_EQ(StatusOf(h, 3).memory, Memory::kUnchecked);
  EXPECT_EQ(h.Sent<IncarnationMessage>(NodeId{4}, NodeId{1}).size(), 0u);
  h.Step();
  h.Step();
  EXPECT_EQ(StatusOf(h, 3).memory, Memory::kIntact);
  h.Run();
  EXPECT_TRUE(h.at(3).replica->CanSubmit());
  EXPECT_EQ(h.Records<MemoryRecord>(3), 0u);
  EXPECT_EQ(StatusOf(h, 3).incarnation, 2u);
}

TEST(Memory, NothingIsSignedBeforeAQuorumHasAnswered) {
  Harness h(4);
  h.Open();
  h.Crash(3);
  h.lost = [](const Letter& l) { return Is<AttestationMessage>(l) && l.from != NodeId{1}; };
  h.Start(3);
  const size_t votes = OwnVotes(h, 3);
  h.Submit(0, "a");
  h.Wait(1'000'000);
  EXPECT_EQ(OwnVotes(h, 3), votes);
  EXPECT_EQ(h.Records<IncarnationRecord>(3), 1u);
  EXPECT_EQ(StatusOf(h, 3).memory, Memory::kUnchecked);
  EXPECT_EQ(StatusOf(h, 3).answers, 1u);
  EXPECT_EQ(StatusOf(h, 3).answers_needed, 2u);
  EXPECT_EQ(StatusOf(h, 3).committed, StatusOf(h, 0).committed);  // it follows the chain meanwhile
  h.lost = nullptr;
  h.Wait(1'000'000);
  EXPECT_TRUE(h.at(3).replica->CanSubmit());
  h.Submit(0, "b");
  h.Run();
  EXPECT_GT(OwnVotes(h, 3), votes);
}

TEST(Memory, APowerCutOfAllEndsByItself) {
  for (size_t n : {1, 2, 3, 4, 7}) {
    Harness h(n);
    h.Open();
    h.Submit(0, "a");
    h.Run();
    for (size_t i = 0; i < n; i++) h.Crash(i);
    for (size_t i = 0; i < n; i++) h.Start(i);
    h.Wait(3'000'000);
    for (size_t i = 0; i < n; i++) EXPECT_TRUE(h.at(i).replica->CanSubmit()) << n << " " << i;
  }
}

// ---- doubt ---------------------------------------------------------------------------------------------------------

TEST(Memory, AVoteThatTheJournalDoesNotHoldMakesALearner) {
  Harness h(4);
  Forget(h, 3);
  const size_t votes = OwnVotes(h, 3);
  h.lost = [](const Letter& l) { return l.from == NodeId{4} && Is<IncarnationMessage>(l); };  // so that it stays one
  h.Start(3);
  h.Run();
  h.Submit(0, "b");
  h.Wait(2'000'000);
  EXPECT_EQ(StatusOf(h, 3).memory, Memory::kLearner);
  EXPECT_EQ(OwnVotes(h, 3), votes);
  EXPECT_FALSE(h.at(3).replica->CanSubmit());
  EXPECT_STREQ(StatusOf(h, 3).phase, "rejoining");
  EXPECT_EQ(StatusOf(h, 3).committed, StatusOf(h, 0).committed);
}

TEST(Memory, ItStaysOneOverARestart) {
  Harness h(4);
  Forget(h, 3);
  h.lost = [](const Letter& l) { return l.from == NodeId{4} && Is<IncarnationMessage>(l); };
  h.Start(3);
  h.Wait(500'000);
  ASSERT_EQ(StatusOf(h, 3).memory, Memory::kLearner);
  h.Crash(3);
  h.lost = [](const Letter& l) { return l.to == NodeId{4}; };  // nobody tells it again
  h.Start(3);
  EXPECT_EQ(StatusOf(h, 3).memory, Memory::kLearner);
  h.Wait(500'000);
  EXPECT_EQ(StatusOf(h, 3).memory, Memory::kLearner);
}

TEST(Memory, OnAnIdleClusterItComesBackByTwoBlocksInANewEra) {
  for (size_t n : {3, 4, 5, 7}) {
    Harness h(n);
    Forget(h, n - 1);
    const Height before = StatusOf(h, 0).committed;
    h.Start(n - 1);
    h.Wait(3'000'000);
    const ReplicaStatus back = StatusOf(h, n - 1);
    EXPECT_EQ(back.memory, Memory::kIntact) << n;
    EXPECT_EQ(back.rejoined, 1u) << n;
    EXPECT_EQ(back.committed, Height{before.value + 2}) << n;
    EXPECT_EQ(EraOf(back.incarnation), 1u) << n;
    ASSERT_TRUE(h.at(n - 1).replica->CanSubmit()) << n;
    const size_t votes = OwnVotes(h, n - 1);
    h.Submit(n - 1, "again");
    h.Run();
    EXPECT_EQ(StatusOf(h, 0).committed, Height{before.value + 3}) << n;
    EXPECT_GT(OwnVotes(h, n - 1), votes) << n;
  }
}

TEST(Memory, OfTwoItComesBackInAViewAboveAllThatTheOtherHasSeen) {
  for (size_t who : {0, 1}) {
    Harness h(2);
    Forget(h, who);
    h.Start(who);
    h.Wait(6'000'000);
    EXPECT_EQ(StatusOf(h, who).rejoined, 1u);
    EXPECT_GE(StatusOf(h, who).view, View{1});
    for (size_t i : {0, 1}) EXPECT_TRUE(h.at(i).replica->CanSubmit()) << who << " " << i;
  }
}

TEST(Memory, AloneItGoesOnWhenItsOwnerDoubts) {
  Harness h(1);
  h.Open();
  h.Crash(0);
  h.doubt = "a backup";
  h.Start(0);
  h.Run();
  EXPECT_TRUE(h.at(0).replica->CanSubmit());
  EXPECT_EQ(EraOf(StatusOf(h, 0).incarnation), 1u);
  EXPECT_EQ(h.Records<MemoryRecord>(0), 2u);
}

TEST(Memory, ItsOwnersDoubtMakesALearner) {
  Harness h(4);
  h.Open();
  h.Crash(2);
  h.doubt = "a backup label";
  h.Start(2);
  h.doubt = nullptr;
  EXPECT_EQ(StatusOf(h, 2).memory, Memory::kLearner);
  h.Wait(3'000'000);
  EXPECT_EQ(StatusOf(h, 2).rejoined, 1u);
  EXPECT_TRUE(h.at(2).replica->CanSubmit());
}

TEST(Memory, AFollowerThatWentOnLearnsItFromACertificate) {
  Harness h(4);
  Forget(h, 3);
  // The three others say that they have seen nothing: what they know was lost with their power.
  for (size_t i = 0; i < 3; i++) h.Crash(i);
  for (size_t i = 0; i < 3; i++) h.Start(i);
  h.Start(3);
  h.Wait(5'000'000);
  for (size_t i = 0; i < 4; i++) EXPECT_TRUE(h.at(i).replica->CanSubmit()) << i;
  EXPECT_EQ(StatusOf(h, 3).rejoined, 1u);
}

TEST(Memory, NothingIsSignedBeforeTheTablesAreKnown) {
  for (uint64_t ahead : {0, 1}) {
    Harness h(4);
    h.Open();
    h.Crash(3);
    const Height then = StatusOf(h, 0).committed;
    h.awaits_tables = true;
    h.Start(3);
    h.Submit(0, "a");
    h.Wait(1'000'000);
    EXPECT_EQ(StatusOf(h, 3).memory, Memory::kUnchecked);
    EXPECT_EQ(h.Records<IncarnationRecord>(3), 1u);
    EXPECT_EQ(StatusOf(h, 3).committed, StatusOf(h, 0).committed);  // further than the tables were, by now
    h.Take(3, h.at(3).replica->OnTables(Height{then.value + ahead}, h.now));
    h.Wait(3'000'000);
    EXPECT_EQ(StatusOf(h, 3).rejoined, ahead);
    EXPECT_TRUE(h.at(3).replica->CanSubmit());
  }
}

// Of two members, both of which have forgotten nothing that the other knows: the doubt comes once.
TEST(Memory, OfTwoTheOneWhoseTablesAreFurtherComesBackOnce) {
  Harness h(2);
  h.Open();
  h.Crash(1);
  h.awaits_tables = true;
  h.Start(1);
  h.Take(1, h.at(1).replica->OnTables(Height{StatusOf(h, 0).committed.value + 1}, h.now));
  h.awaits_tables = false;
  h.Wait(10'000'000);
  EXPECT_EQ(StatusOf(h, 1).doubts, 1u);
  EXPECT_EQ(StatusOf(h, 1).rejoined, 1u);
  for (size_t i : {0, 1}) EXPECT_TRUE(h.at(i).replica->CanSubmit()) << i;
}

// The two that answer know nothing; the one that knows answers when it has followed many blocks, and has begun a new life.
TEST(Memory, WhatAnOldLifeSignedIsForgottenWhereverTheNewOneBegan) {
  Harness h(4);
  h.Open();
  const size_t then = h.at(3).durable;
  h.lost = [](const Letter& l) { return l.from == NodeId{4} && l.to != NodeId{1}; };
  h.Submit(0, "a");
  h.Run();
  ASSERT_GT(OwnVotes(h, 3), 0u);
  h.Crash(3);
  h.lost = nullptr;
  for (int k = 0; k < 5; k++) {
    h.Submit(0, "b" + std::to_string(k));
    h.Run();
  }
  for (size_t i : {1, 2}) h.Crash(i);  // what they had in memory is gone
  RollBack(h, 3, then);
  const auto silent = [](const Letter& l) { return Is<AttestationMessage>(l) && l.to == NodeId{4} && l.from == NodeId{1}; };
  h.lost = [&](const Letter& l) { return silent(l) || (l.to == NodeId{4} && Is<AttestationMessage>(l)); };
  for (size_t i : {1, 2}) h.Start(i);
  h.Start(3);
  h.Wait(1'000'000);
  ASSERT_EQ(StatusOf(h, 3).memory, Memory::kUnchecked);
  h.lost = silent;
  h.Wait(1'000'000);
  ASSERT_EQ(StatusOf(h, 3).memory, Memory::kIntact);
  h.lost = nullptr;
  h.Wait(5'000'000);
  EXPECT_EQ(StatusOf(h, 3).rejoined, 1u);
}

TEST(Memory, WhatItHasForgottenIsShownWhenItHasBegunAnotherLife) {
  SeenOf seen;
  const auto vote = [](uint64_t incarnation, uint64_t sequence) {
    VoteMessage v{};
    v.envelope.incarnation = incarnation;
    v.envelope.journal_sequence = sequence;
    return v;
  };
  seen.Note(vote(7, 900));
  seen.Note(vote(8, 710));
  EXPECT_EQ(seen.vote->envelope.incarnation, 8u);
  EXPECT_EQ(seen.former->envelope.journal_sequence, 900u);
  EXPECT_EQ(seen.newest, (std::pair<uint64_t, uint64_t>(7, 900)));
  seen.Note(vote(9, 720));
  seen.Note(vote(7, 850));
  EXPECT_EQ(seen.former->envelope.journal_sequence, 900u);
  seen.Note(vote(9, 901));
  EXPECT_EQ(seen.newest, (std::pair<uint64_t, uint64_t>(9, 901)));
  seen.Note(vote(kIncarnationsPerEra, 800));
  EXPECT_EQ(seen.vote->envelope.incarnation, kIncarnationsPerEra);
  EXPECT_EQ(seen.former->envelope.journal_sequence, 901u);
  EXPECT_EQ(seen.newest.second, 800u);
}

// Nobody answers it, but the view that begins shows what it promised.
TEST(Memory, ANewViewWithAPromiseThatItDoesNotRememberMakesALearner) {
  Harness h(4);
  h.Open();
  const size_t then = h.at(3).durable;
  h.Crash(0);  // the primary
  h.Submit(1, "a");
  for (int k = 0; k < 200 && !StatusOf(h, 1).view_entered; k++) h.Wait(50'000);
  for (int k = 0; k < 200 && StatusOf(h, 1).view == View{}; k++) h.Wait(50'000);
  ASSERT_EQ(h.Records<ViewChangeRecord>(3), 1u);
  h.Crash(3);
  RollBack(h, 3, then);
  h.lost = [](const Letter& l) { return l.to == NodeId{4} && !Is<NewViewMessage>(l) && !Is<StatusMessage>(l); };
  h.Start(3);
  for (int k = 0; k < 100 && StatusOf(h, 3).doubts == 0; k++) h.Wait(50'000);
  EXPECT_EQ(StatusOf(h, 3).memory, Memory::kLearner);
  EXPECT_NE(std::string(StatusOf(h, 3).doubt).find("NEW-VIEW"), std::string::npos) << StatusOf(h, 3).doubt;
}

// ---- liars ---------------------------------------------------------------------------------------------------------

TEST(Memory, OneThatOnlyClaimsIsNotBelieved) {
  Harness h(4);
  h.Open();
  h.Crash(3);
  h.lost = [](const Letter& l) { return Is<AttestationMessage>(l); };
  h.Start(3);
  Attestation lie;
  for (int i = 0; i < 3 && lie.asker == kNobody; i++) {
    for (const AttestationMessage& m : h.Sent<AttestationMessage>(NodeId{1}, NodeId{4})) lie = m.attestation;
    if (lie.asker == kNobody) h.Step();
  }
  ASSERT_EQ(lie.asker, NodeId{4});
  lie.seen_incarnation = lie.seen_sequence = 1'000'000'000;
  lie.envelope.signature = h.at(0).signer->Sign(lie.SigningBytes({h.genesis.chain_id(), Epoch{1}}));
  h.Give(3, NodeId{1}, AttestationMessage{lie});
  EXPECT_EQ(StatusOf(h, 3).answers, 1u);
  EXPECT_EQ(StatusOf(h, 3).memory, Memory::kUnchecked);
  h.lost = nullptr;
  h.Wait(1'000'000);
  EXPECT_EQ(StatusOf(h, 3).rejoined, 0u);
  EXPECT_TRUE(h.at(3).replica->CanSubmit());
}

TEST(Memory, AnswersToOthersAreRefused) {
  Harness h(4);
  h.Open();
  h.Crash(3);
  h.lost = [](const Letter& l) { return Is<AttestationMessage>(l); };
  h.Start(3);
  h.Step();
  h.Sync(0);
  auto answers = h.Sent<AttestationMessage>(NodeId{1}, NodeId{4});
  ASSERT_FALSE(answers.empty());
  const Attestation right = answers[0].attestation;
  const auto resign = [&](Attestation a) {
    a.envelope.signature = h.at(0).signer->Sign(a.SigningBytes({h.genesis.chain_id(), Epoch{1}}));
    return AttestationMessage{a};
  };
  Attestation other = right;
  other.asker = NodeId{2};
  h.Give(3, NodeId{1}, resign(other));
  EXPECT_TRUE(Rejected(h.at(3), "not for this member"));
  other = right;
  other.nonce.bytes[3] ^= 1;
  h.Give(3, NodeId{1}, resign(other));
  h.Give(3, NodeId{2}, AttestationMessage{right});
  EXPECT_EQ(StatusOf(h, 3).answers, 0u);
  other = right;
  other.height = other.height.next();
  h.Give(3, NodeId{1}, resign(other));
  EXPECT_TRUE(Rejected(h.at(3), "another block's certificate"));
  EXPECT_EQ(StatusOf(h, 3).answers, 0u);
}

// ---- two servers, one key ------------------------------------------------------------------------------------------

TEST(Memory, AFenceHoldsOverARestartUntilTheOwnerSaysOtherwise) {
  Harness h(4);
  h.Open();
  IncarnationEntry clone{.origin = NodeId{3},
                         .incarnation = 9,
                         .journal_sequence = 5,
                         .nonce = {},
                         .recent_height = StatusOf(h, 0).committed,
                         .recent_hash = StatusOf(h, 0).committed_hash};
  clone.signature = h.at(2).signer->Sign(clone.SigningBytes({h.genesis.chain_id(), Epoch{1}}));
  h.Give(0, NodeId{3}, IncarnationMessage{clone});
  h.Run();
  ASSERT_TRUE(StatusOf(h, 2).fenced);
  EXPECT_TRUE(h.at(2).replica->IsFencedForGood());
  h.Wait(1'000'000);
  h.Crash(2);
  h.Start(2);
  h.Wait(1'000'000);
  EXPECT_TRUE(StatusOf(h, 2).fenced);
  EXPECT_FALSE(h.at(2).replica->CanSubmit());
  h.Crash(2);
  h.doubt = "the owner says so";
  h.Start(2);
  h.doubt = nullptr;
  h.Wait(3'000'000);
  EXPECT_FALSE(StatusOf(h, 2).fenced);
  EXPECT_TRUE(h.at(2).replica->CanSubmit());
  EXPECT_EQ(EraOf(StatusOf(h, 2).incarnation), 1u);
}

// Nobody has another server's key here: it began that incarnation itself, and nobody but one who kept the entry knew.
TEST(Memory, AnIncarnationThatItForgotMakesALearner) {
  Harness h(4);
  h.Open();
  const size_t then = h.at(2).durable;
  h.lost = [](const Letter& l) { return l.from == NodeId{3} && Is<IncarnationMessage>(l); };
  h.Crash(2);
  h.Start(2);
  h.Run();
  ASSERT_EQ(h.Records<IncarnationRecord>(2), 2u);
  const IncarnationEntry forgotten = std::get<IncarnationRecord>(h.at(2).journal.back()).entry;
  h.Crash(2);
  RollBack(h, 2, then);
  h.Start(2);
  h.Run();
  ASSERT_EQ(StatusOf(h, 2).memory, Memory::kIntact);
  h.Give(0, NodeId{2}, IncarnationMessage{forgotten});
  h.Run();
  EXPECT_FALSE(StatusOf(h, 2).fenced);
  EXPECT_EQ(StatusOf(h, 2).memory, Memory::kLearner);
  h.lost = nullptr;
  h.Wait(3'000'000);
  EXPECT_EQ(StatusOf(h, 2).rejoined, 1u);
  EXPECT_TRUE(h.at(2).replica->CanSubmit());
}

TEST(Memory, WhoDoubtsAgainBeginsAnotherEra) {
  Harness h(4);
  Forget(h, 3);
  h.Start(3);
  h.Wait(3'000'000);
  ASSERT_EQ(StatusOf(h, 3).rejoined, 1u);
  h.Take(3, h.at(3).replica->OnTables(StatusOf(h, 0).committed, h.now));
  EXPECT_EQ(StatusOf(h, 3).memory, Memory::kLearner);
  EXPECT_EQ(StatusOf(h, 3).doubts, 2u);
  h.Wait(3'000'000);
  EXPECT_EQ(StatusOf(h, 3).rejoined, 2u);
  EXPECT_EQ(EraOf(StatusOf(h, 3).incarnation), 2u);
  EXPECT_TRUE(h.at(3).replica->CanSubmit());
}

TEST(Memory, PromisesOfTheForgottenLifeDoNotCount) {
  Harness h(4);
  Forget(h, 3);
  ViewChange promise{View{1}, Height{}, h.genesis.chain_id(), std::nullopt, std::nullopt, {NodeId{4}, 1, 50, {}}};
  promise.envelope.signature = h.at(3).signer->Sign(promise.SigningBytes({h.genesis.chain_id(), Epoch{1}}));
  h.Start(3);
  h.Wait(3'000'000);
  ASSERT_EQ(StatusOf(h, 3).rejoined, 1u);
  NewViewMessage begun;
  begun.start.view = View{1};
  for (size_t i : {0, 1, 3}) {
    ViewChange v = promise;
    v.envelope.signer = Harness::Id(i);
    v.envelope.signature = h.at(i).signer->Sign(v.SigningBytes({h.genesis.chain_id(), Epoch{1}}));
    begun.start.proof.push_back(v);
  }
  begun.start.envelope = {NodeId{2}, 1, 60, {}};
  begun.start.envelope.signature = h.at(1).signer->Sign(begun.start.SigningBytes({h.genesis.chain_id(), Epoch{1}}));
  h.Give(0, NodeId{2}, begun);
  EXPECT_TRUE(Rejected(h.at(0), "has forgotten"));
  EXPECT_EQ(StatusOf(h, 0).view, View{0});
}

// ---- the journal ---------------------------------------------------------------------------------------------------

TEST(Memory, TheJournalSaysSo) {
  for (const MemoryState& state : {MemoryState{Memory::kLearner, 0, 0}, MemoryState{Memory::kUnchecked, 5, 77},
                                   MemoryState{Memory::kIntact, kIncarnationsPerEra, 0}, MemoryState{Memory::kFenced, 1, 2}}) {
    JournalRecord back;
    ASSERT_TRUE(DecodeRecord(EncodeRecord(MemoryRecord{state}), &back));
    EXPECT_EQ(std::get<MemoryRecord>(back).state, state);
    SegmentStateRecord head;
    head.memory = state;
    const Bytes bytes = EncodeRecord(head);
    EXPECT_EQ(bytes[0], 12);
    ASSERT_TRUE(DecodeRecord(bytes, &back));
    EXPECT_EQ(std::get<SegmentStateRecord>(back).memory, state);
  }
  Bytes plain = EncodeRecord(SegmentStateRecord{});  // the usual one has one spelling
  plain[0] = 12;
  plain.resize(plain.size() + 17);
  JournalRecord back;
  EXPECT_FALSE(DecodeRecord(plain, &back));
}

}  // namespace
}  // namespace dadbs::core
