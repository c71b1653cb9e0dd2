/*
 * crypto.h: SHA-256 with domain separation, and signatures behind an interface.
 *
 * The simulator models signatures (an unforgeable table); the extension uses Ed25519 (RFC 8032) by libsodium.
 * Every hash and every signed message starts with a one-byte domain: no byte string means two things.
 */
#pragma once

#include <memory>
#include <initializer_list>
#include <optional>

#include "dadbs/core/types.h"

namespace dadbs::core {

enum class Domain : uint8_t {
  // hashes
  kMerkleNode = 0x01,    // an inner node of any tree
  kMerkleEmpty = 0x02,   // the root of a tree without leaves
  kChangeLeaf = 0x03,    // salt, canonical bytes of a change
  kWriteSetHeader = 0x04,
  kTransactionLeaf = 0x05,  // a transaction's hash as leaf of a batch's or block's transaction tree
  kItemLeaf = 0x06,
  kBatch = 0x07,
  kBlockHeader = 0x08,
  kGenesis = 0x09,
  kWriteSet = 0x0a,      // identity of the exact bytes of a write set (local matching only)
  kTableDigest = 0x0b,
  kContract = 0x0c,      // what a version of a contract says: its parts, each ended by NUL
  kEffects = 0x0d,       // what members have come to, block by block (state_digest.h)
  // signed messages
  kSignBatch = 0x41,
  kSignIncarnation = 0x42,
  kSignProposal = 0x43,
  kSignPrepare = 0x44,
  kSignCommit = 0x45,
  kSignViewChange = 0x46,  // reserved from here on
  kSignNewView = 0x47,
  kSignStateDigest = 0x48,
  kSignRejoin = 0x49,      // attestations
  kSignSkip = 0x4a,
  kSignMembership = 0x4b,
  kSignHello = 0x4c,
  kSignStatus = 0x4d,
  kSignCall = 0x4e,      // a user's: the call of a contract
};

// SHA-256 over domain, then the parts, concatenated.
Digest Hash(Domain domain, ByteView part);
Digest Hash(Domain domain, std::initializer_list<ByteView> parts);

class Signer {
 public:
  virtual ~Signer() = default;
  virtual Signature Sign(ByteView message) const = 0;
  virtual PublicKey public_key() const = 0;
};

class Verifier {
 public:
  virtual ~Verifier() = default;
  virtual bool Verify(const PublicKey& key, ByteView message, const Signature& signature) const = 0;
};

// Ed25519 by libsodium. A seed is the 32 secret bytes of RFC 8032. Both throw std::runtime_error only where the library
// cannot be started or the seed has another size, never for a bad signature. Keys and points of small order and
// non-canonical encodings are bad signatures.
std::unique_ptr<Signer> MakeEd25519Signer(ByteView seed32);
const Verifier& Ed25519Verifier();
bool RandomBytes(std::span<uint8_t> out);  // for callers outside the replica

}  // namespace dadbs::core
