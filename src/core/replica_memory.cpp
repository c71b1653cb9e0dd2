/*
 * replica_memory.cpp: does this member remember all that it has signed? If not, how it comes back.
 *
 *   unchecked  a start; nothing is signed. The others are asked; they answer at once, whatever their own state
 *     | q - 1 others that are not learners have answered (q with itself), none shows what the journal does not hold,
 *     |   and the tables are not further than it
 *   intact     it signs. What shows itself later counts all the same
 *     | any doubt: a signature of its own that it does not remember, an incarnation that it did not begin, tables
 *     |   that are further than the journal, the owner's word
 *   learner    journaled before anything else; nothing is signed but the entry below. It follows the chain
 *     | q others that are not learners have answered (all others, where there are fewer): the highest certified head
 *     |   among them is H, and nothing that was forgotten is above H + 2 (docs/protocol.md, section 7)
 *     | at H: it begins the first incarnation of a new era; its entry makes a block, a second one another
 *     | the entry is on its chain, and the chain is at H + 2 or above: journaled
 *   intact     in the new era: it votes above H + 2 only, and what it signed in older eras counts nowhere any more
 *
 * In a cluster of two the other cannot make a block alone, but no certificate can be made without its vote either: the
 * learner comes back at H, and votes in a view above all that the other has seen. Alone (n = 1) there is nobody to ask.
 *
 * Evidence from a single member is believed only if it is this member's own signature; what is only said counts from
 * f + 1 on. So liars cannot keep a sound member from voting. An own incarnation that this process did not begin and that
 * was begun after its check was done means another server with the same key: it fences itself, durably.
 */
#include <algorithm>

#include "replica_state.h"

namespace dadbs::core {

namespace {

constexpr uint32_t kAttestationsMax = 8;  // for one peer, in one resend interval

bool IsSignedByMe(const Message& message) {
  return std::holds_alternative<VoteMessage>(message) || std::holds_alternative<ProposalMessage>(message) ||
         std::holds_alternative<ViewChangeMessage>(message) || std::holds_alternative<NewViewMessage>(message) ||
         std::holds_alternative<IncarnationMessage>(message) || std::holds_alternative<AttestationMessage>(message);
}

}  // namespace

bool Replica::State::IsOfForgottenLife(const Signed& envelope) const {
  return EraOf(envelope.incarnation) < EraOf(chain.origin(envelope.signer).incarnation);
}

// ---- questions and answers -----------------------------------------------------------------------------------------

void Replica::State::ReceiveAttestationRequest(NodeId from, const AttestationRequest& request) {
  PeerState& peer = peers.at(from.value);
  if (request.nonce.bytes == peer.attested.bytes && clock - peer.attested_at < ResendInterval(1) / 4) return;
  if (++peer.attestations > kAttestationsMax) return;
  peer.attested_at = clock;
  peer.attested = request.nonce;
  Attestation a;
  a.asker = from;
  a.nonce = request.nonce;
  a.is_learner = fenced || memory.memory == Memory::kLearner;
  a.height = chain.height;
  a.hash = chain.hash;
  a.view = view;
  if (head) a.head = *head;
  SeenOf& known = seen[from.value];
  known.Note(chain.origin(from).incarnation, 0);
  a.seen_incarnation = known.newest.first;
  a.seen_sequence = known.newest.second;
  const auto shown = [&](const std::optional<VoteMessage>& v) -> std::optional<Certificate> {
    if (!v || !VerifyVote(*v)) return std::nullopt;
    return Certificate{v->phase, v->epoch, v->view, v->height, v->hash, {v->envelope}};
  };
  a.vote = shown(known.vote);
  a.former = shown(known.former);
  a.entry = known.entry;
  a.envelope = {self, incarnation, sequence, {}};
  a.envelope.signature = signer.Sign(a.SigningBytes(context));
  SendWhenDurable(from, AttestationMessage{std::move(a)});
}

void Replica::State::AskForAttestations() {
  if (n == 1 || fenced || clock < attest_at) return;
  for (const auto& [id, peer] : peers)
    if (peer.connected) AskForAttestation(NodeId{id});
  attest_at = clock + ResendInterval(memory.memory == Memory::kIntact ? kBackOffMax : 1);
}

void Replica::State::AskForAttestation(NodeId whom) {
  auto known = answers.find(whom.value);
  const bool is_answered = known != answers.end() &&
                           (memory.memory == Memory::kIntact || (!known->second.is_learner && known->second.is_proved()));
  if (n == 1 || fenced || is_answered) return;
  peers.at(whom.value).attestation_awaited = true;
  SendNow(whom, AttestationRequest{nonce});
}

void Replica::State::ReceiveAttestation(NodeId from, const Attestation& a) {
  if (a.envelope.signer != from || a.asker != self) return Reject(from, "an attestation that is not its own, or not for this member");
  if (a.nonce.bytes != nonce.bytes || !std::exchange(peers.at(from.value).attestation_awaited, false)) return;
  if (std::string why = CheckAttestation(a, genesis, verifier); !why.empty())
    return Reject(from, "an attestation: " + why);
  Claim(from, a.height);
  answers.insert_or_assign(from.value, a);
  JudgeAnswers(a);
}

void Replica::State::JudgeAnswers(const Attestation& latest) {
  for (const auto& shown : {latest.vote, latest.former})
    if (shown) NoteOwnSignature(shown->votes[0], "another member shows a vote of this one that its journal does not hold");
  if (latest.entry) {
    const IncarnationEntry& begun = *latest.entry;
    const bool is_mine = begun.nonce.bytes == nonce.bytes;
    const bool is_twice = begun.incarnation == incarnation && incarnation > recovered_incarnation;
    if (!is_mine && (is_twice || IsForgotten(begun.incarnation, begun.journal_sequence)))
      LoseMemory("another member shows an incarnation of this one that its journal does not hold");
  }
  size_t claims = 0;
  for (const auto& [id, a] : answers) claims += IsForgotten(a.seen_incarnation, a.seen_sequence);
  if (claims > (MUTATED(kOneClaimBelieved) ? 0 : FaultsTolerated(n))) LoseMemory("other members have newer signatures of this one than its journal");
}

// A signature that others have verified, in what they have sent.
void Replica::State::NoteOwnSignature(const Signed& envelope, const char* where) {
  if (envelope.signer == self && IsForgotten(envelope.incarnation, envelope.journal_sequence)) LoseMemory(where);
}

// Of this member's own signatures: made by it, and not in what it remembers.
bool Replica::State::IsForgotten(uint64_t by_incarnation, uint64_t at_sequence) const {
  if (by_incarnation < memory.floor) return false;
  if (memory.memory == Memory::kUnchecked)
    return by_incarnation > recovered_incarnation || at_sequence > remembered;
  if (memory.memory != Memory::kIntact) return false;
  if (by_incarnation > incarnation) return true;
  return at_sequence > (by_incarnation >= first_incarnation ? sequence : remembered);
}

size_t Replica::State::CountAnswers() const {
  const bool needs_proof = memory.memory == Memory::kLearner;
  return static_cast<size_t>(std::count_if(answers.begin(), answers.end(), [&](const auto& a) {
    return !a.second.is_learner && (!needs_proof || a.second.is_proved());
  }));
}

size_t Replica::State::AnswersNeeded() const {
  return memory.memory == Memory::kLearner ? std::min(q, n - 1) : q - 1;
}

// ---- doubt ---------------------------------------------------------------------------------------------------------

void Replica::State::SetMemory(Memory now, uint64_t floor) {
  memory = {now, floor, 0};
  if (MUTATED(kLearnerInMemory) && now == Memory::kLearner) return;
  Append(MemoryRecord{memory});
}

void Replica::State::LoseMemory(const char* why) {
  if (memory.memory == Memory::kLearner || (fenced && !is_told_to_rejoin) || MUTATED(kAmnesiaUnchecked)) return;
  fenced = false;
  rejoin_begun = false;
  doubt = why;
  doubts++;
  SetMemory(Memory::kLearner, memory.floor);
  std::erase_if(releases, [](const Release& r) {  // signed, and not said yet
    const auto* send = std::get_if<SendEffect>(&r.what);
    return send ? IsSignedByMe(send->message) : std::holds_alternative<OwnBatchLeaves>(r.what);
  });
  open = false;
  opened_at.reset();
  entry.reset();
  origins[self.value].entry.reset();
  own.clear();
  gathering.clear();
  own_bytes = own_count = gathering_bytes = 0;
  propose_since.reset();
  propose_at.reset();
  answers.clear();  // where the others stand now is what counts
  attest_at = clock;
}

void Replica::State::Fence() {
  if (fenced || MUTATED(kNeverFenced)) return;
  fenced = true;
  open = false;
  SetMemory(Memory::kFenced, memory.floor);
}

// What a block that is certified says of this member: the votes in its certificate, the incarnations that it begins.
void Replica::State::NoteOwnTraces(const Block& block, const Certificate& certificate) {
  NoteSeen(certificate, &seen);
  NoteSeen(block, &seen);
  for (const Signed& vote : certificate.votes)
    NoteOwnSignature(vote, "a certificate holds a vote of this member that its journal does not hold");
  for (const Item& item : block.items) {
    const auto* batch = std::get_if<BatchHeader>(&item);
    if (batch && batch->origin == self && IsForgotten(batch->incarnation, batch->journal_sequence))
      LoseMemory("a block holds transactions of this member that its journal does not hold");
    const auto* begun = std::get_if<IncarnationEntry>(&item);
    if (!begun || begun->origin != self) continue;
    if (begun->nonce.bytes == nonce.bytes) {
      if (begun->incarnation == incarnation) opened_at = block.header.height;
    } else if (begun->incarnation > recovered_incarnation) {
      NoteForeignEntry(*begun);
    }
  }
}

// On the chain, and this member did not begin it, as far as it knows. Whoever began it knew of a block that was not there
// when this one began its own: another server lives. Otherwise this member may have forgotten that it did.
void Replica::State::NoteForeignEntry(const IncarnationEntry& begun) {
  const bool had_begun = memory.memory == Memory::kIntact || rejoin_begun;
  if (memory.memory == Memory::kLearner && (!rejoin_begun || begun.incarnation < incarnation)) return;
  if (had_begun && begun.recent_height > begun_above) return Fence();
  LoseMemory("the chain holds an incarnation of this member that it does not know of");
  rejoin_begun = false;  // what it has begun is not above that
  entry.reset();
}

// ---- the way back --------------------------------------------------------------------------------------------------

void Replica::State::StartMemory(const char* owners_doubt) {
  if (owners_doubt) {
    is_told_to_rejoin = true;
    LoseMemory(owners_doubt);
    is_told_to_rejoin = false;
  } else if (chain.origin(self).incarnation > recovered_incarnation && memory.memory == Memory::kUnchecked) {
    LoseMemory("the chain holds an incarnation of this member that it does not know of");
  }
  AskForAttestations();
}

void Replica::State::CompareTables(Height height) {
  awaits_tables = false;
  if (height > recovered_height) LoseMemory("its tables are further than its journal");
}

Height Replica::State::HighestAnswer() const {
  Height highest = chain.height;
  for (const auto& [id, a] : answers)
    if (a.is_proved()) highest = std::max(highest, a.height);
  return highest;
}

bool Replica::State::TryMemory() {
  if (memory.memory == Memory::kUnchecked) {
    if (awaits_tables || CountAnswers() < AnswersNeeded()) return false;
    memory.memory = Memory::kIntact;
    if (std::exchange(is_unchecked_recorded, false)) SetMemory(Memory::kIntact, memory.floor);
    begun_above = HighestAnswer();
    stalled_since = patience;
    BeginIncarnation();
    return true;
  }
  return memory.memory == Memory::kLearner && TryRejoin();
}

// Two blocks above the highest head that is shown: nothing that was forgotten is above.
bool Replica::State::TryRejoin() {
  const bool others_can_certify = n - 1 >= q;
  if (!threshold) {
    if (CountAnswers() < AnswersNeeded()) return false;
    rejoin_head = HighestAnswer();
    threshold = others_can_certify ? Height{rejoin_head.value + 2} : rejoin_head;
  }
  if (chain.height < rejoin_head || (n == 2 && chain.height > Height{} && !head)) return false;
  if (!others_can_certify) {
    BeginEra();
    BecomeMember(n > 1 ? "it had lost its memory" : nullptr);
    return true;
  }
  if (!rejoin_begun) return BeginEra(), true;
  if (!opened_at) return false;
  if (chain.height < *threshold && MUTATED(kNoSecondEntry)) return false;
  if (chain.height < *threshold) return BeginIncarnation(), true;  // its entry makes another block
  BecomeMember();
  return true;
}

View Replica::State::HighestView() const {
  View highest = view;
  for (const auto& [id, a] : answers) highest = std::max(highest, a.view);
  return highest;
}

// Above every incarnation that this member has signed with, as far as anybody knows.
void Replica::State::BeginEra() {
  uint64_t known = std::max({incarnation, recovered_incarnation, chain.origin(self).incarnation});
  std::vector<uint64_t> claims;
  for (const auto& [id, a] : answers) {
    claims.push_back(a.seen_incarnation);
    for (const auto& shown : {a.vote, a.former})
      if (shown) known = std::max(known, shown->votes[0].incarnation);
    if (a.entry) known = std::max(known, a.entry->incarnation);
  }
  std::sort(claims.begin(), claims.end(), std::greater<>());
  if (claims.size() > FaultsTolerated(n)) known = std::max(known, claims[FaultsTolerated(n)]);
  incarnation = (EraOf(known) + 1) * kIncarnationsPerEra - 1;
  rejoin_begun = true;
  begun_above = HighestAnswer();
  BeginIncarnation();
}

// Of two members the one that comes back has promised another view before its journal says that it may vote.
void Replica::State::BecomeMember(const char* asks_for_view) {
  rejoined++;
  threshold.reset();
  stalled_since = patience;
  if (!entered) {  // what was promised is promised again: in the era that counts
    view_change.reset();
    view_change_resend_at = clock;
  }
  memory.memory = Memory::kIntact;
  if (asks_for_view) AskForView(HighestView().next(), asks_for_view);
  SetMemory(Memory::kIntact, EraOf(incarnation) * kIncarnationsPerEra);
  UpdateOpen();
}

void Replica::State::UpdateOpen() {
  if (MaySign() && opened_at && delivered >= *opened_at) open = true;
}

std::vector<NodeId> Replica::State::Unanswered() const {
  std::vector<NodeId> missing;
  for (const auto& [id, peer] : peers) {
    auto known = answers.find(id);
    if (known == answers.end() || known->second.is_learner || !known->second.is_proved()) missing.push_back(NodeId{id});
  }
  return missing;
}

}  // namespace dadbs::core
