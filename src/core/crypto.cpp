/*
 * crypto.cpp: SHA-256 by OpenSSL's EVP, Ed25519 by libsodium (ADR 8: twice as fast, and every member must judge a
 * strange signature alike, so there is one implementation).
 *
 * The digest is fetched and its context allocated once per thread and reused: a fetch costs more than hashing a short
 * leaf. A child of fork goes on with its copy. At exit they go before OpenSSL's own exit handler runs, as everything
 * that a thread owns.
 */
#include "dadbs/core/crypto.h"

#include <openssl/evp.h>
#include <openssl/rand.h>
#include <sodium.h>

#include <array>
#include <stdexcept>

namespace dadbs::core {
namespace {

[[noreturn]] void FailOpenSsl(const char* what) { throw std::runtime_error(std::string("OpenSSL failed: ") + what); }

struct FreeDigest {
  void operator()(EVP_MD* digest) const { EVP_MD_free(digest); }
};
using DigestPtr = std::unique_ptr<EVP_MD, FreeDigest>;
struct FreeContext {
  void operator()(EVP_MD_CTX* context) const { EVP_MD_CTX_free(context); }
};
using ContextPtr = std::unique_ptr<EVP_MD_CTX, FreeContext>;

class Sha256 {
 public:
  Sha256() : algorithm_(EVP_MD_fetch(nullptr, "SHA2-256", nullptr)), context_(EVP_MD_CTX_new()) {
    if (!algorithm_ || !context_) FailOpenSsl("SHA-256 is not available");
  }
  void Begin() {
    if (EVP_DigestInit_ex2(context_.get(), algorithm_.get(), nullptr) != 1) FailOpenSsl("EVP_DigestInit_ex2");
  }
  void Add(ByteView part) {
    if (EVP_DigestUpdate(context_.get(), part.data(), part.size()) != 1) FailOpenSsl("EVP_DigestUpdate");
  }
  Digest End() {
    Digest digest;
    if (EVP_DigestFinal_ex(context_.get(), digest.bytes.data(), nullptr) != 1) FailOpenSsl("EVP_DigestFinal_ex");
    return digest;
  }

 private:
  DigestPtr algorithm_;
  ContextPtr context_;
};

Sha256& ThreadSha256() {
  static thread_local Sha256 hasher;
  return hasher;
}

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
  Sha256& hasher = ThreadSha256();
  const uint8_t tag = static_cast<uint8_t>(domain);
  hasher.Begin();
  hasher.Add(ByteView(&tag, 1));
  for (ByteView part : parts) hasher.Add(part);
  return hasher.End();
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
