/*
 * attestation.h: what a member answers to one that asks whether it remembers all that it has signed.
 *
 * A member that comes back may stand on an older journal than the one it signed from: a restored backup, a snapshot, a
 * clone. Its own files cannot tell. So it asks the others, with a nonce of this start, and they answer, signed: where
 * they stand, proved by a certificate, and the newest of its signatures that they know, proved by the signature itself.
 * What is only claimed (seen_...) counts when f + 1 say so.
 *
 * Incarnations are grouped in eras of kIncarnationsPerEra. A member that has lost its memory begins the first
 * incarnation of an era above all that anybody knows of; so whoever has that entry on the chain knows which signatures
 * are of the life that it has forgotten.
 */
#pragma once

#include <optional>

#include "dadbs/core/chain.h"

namespace dadbs::core {

inline constexpr uint64_t kIncarnationsPerEra = 1u << 20;

inline uint64_t EraOf(uint64_t incarnation) { return incarnation / kIncarnationsPerEra; }

struct Attestation {
  NodeId asker;
  Nonce nonce;             // of the question
  bool is_learner = false;  // has lost its own memory: it does not count
  Height height;           // of its last certified block, durable
  Digest hash;             // of that block; the chain id at height 0
  View view;               // the highest that it has promised
  uint64_t seen_incarnation = 0, seen_sequence = 0;  // the newest of the asker's signatures; 0, 0: none
  std::optional<Certificate> head;        // of that block; none at height 0, or where an older build's journal lacks it
  std::optional<Certificate> vote;        // the asker's newest vote, as a certificate of one
  std::optional<Certificate> former;      // the furthest one of its lives before that
  std::optional<IncarnationEntry> entry;  // of the asker, the newest
  Signed envelope;

  bool is_proved() const { return height == Height{} || head.has_value(); }  // its height, that is
  Bytes SigningBytes(const SignContext& ctx) const;
  void Encode(Writer& w) const;
  bool Decode(Reader& r);
};

// Empty: signed by its signer, and what it shows was signed by whom it says. Else what is wrong.
std::string CheckAttestation(const Attestation& a, const Genesis& genesis, const Verifier& verifier);

}  // namespace dadbs::core
