/*
 * crypto.cpp: SHA-256 by OpenSSL, Ed25519 by libsodium (ADR 8: twice as fast, and every member must judge a strange
 * signature alike, so there is one implementation).
 *
 * SHA-256 by the plain functions, not by EVP: the same code underneath, but what EVP does around it costs more than
 * hashing a short leaf. They are declared deprecated since OpenSSL 3.0, which is not to say that they go.
 */
#define OPENSSL_SUPPRESS_DEPRECATED
#include "dadbs/core/crypto.h"

#include <openssl/rand.h>
#include <openssl/sha.h>
#include <sodium.h>

#include <array>
#include <stdexcept>

namespace dadbs::core {
namespace {

class Ed25519Signer : public Signer {
 public:
  explicit Ed25519Signer(ByteView seed32) {
    if (crypto_sign_seed_keypair(public_key_.bytes.data(), secret_.data(), seed32.data()) != 0)
      throw std::runtime_error("the Ed25519 seed was not accepted");
  }
  ~Ed25519Signer() override { sodium_memzero(secret_.data(), secret_.size()); }
  Ed25519Signer(const Ed25519Signer&) = delete;
  Ed25519Signer& operator=(const Ed25519Signer&) = delete;

  Signature Sign(ByteView message) const override {
    Signature signature;
    (void)crypto_sign_detached(signature.bytes.data(), nullptr, message.data(), message.size(), secret_.data());
    return signature;
  }

  PublicKey public_key() const override { return public_key_; }

 private:
  std::array<uint8_t, crypto_sign_SECRETKEYBYTES> secret_;
  PublicKey public_key_;
};

class Ed25519 : public Verifier {
 public:
  bool Verify(const PublicKey& key, ByteView message, const Signature& signature) const override {
    return crypto_sign_verify_detached(signature.bytes.data(), message.data(), message.size(), key.bytes.data()) == 0;
  }
};

// Chooses its implementation for this processor; idempotent.
void StartSodium() {
  if (sodium_init() < 0) throw std::runtime_error("libsodium could not be started");
}

}  // namespace

Digest Hash(Domain domain, ByteView part) { return Hash(domain, {part}); }

Digest Hash(Domain domain, std::initializer_list<ByteView> parts) {
  const uint8_t tag = static_cast<uint8_t>(domain);
  Digest digest;
  SHA256_CTX context;
  SHA256_Init(&context);
  SHA256_Update(&context, &tag, 1);
  for (ByteView part : parts) SHA256_Update(&context, part.data(), part.size());
  SHA256_Final(digest.bytes.data(), &context);
  return digest;
}

std::unique_ptr<Signer> MakeEd25519Signer(ByteView seed32) {
  if (seed32.size() != crypto_sign_SEEDBYTES) throw std::runtime_error("an Ed25519 seed has 32 bytes");
  StartSodium();
  return std::make_unique<Ed25519Signer>(seed32);
}

const Verifier& Ed25519Verifier() {
  static const Ed25519 verifier = (StartSodium(), Ed25519{});
  return verifier;
}

bool RandomBytes(std::span<uint8_t> out) { return RAND_bytes(out.data(), static_cast<int>(out.size())) == 1; }

}  // namespace dadbs::core
