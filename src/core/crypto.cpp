/*
 * crypto.cpp: SHA-256 and Ed25519 by OpenSSL's EVP.
 *
 * The digest is fetched and its context allocated once per thread and reused: a fetch costs more than hashing a short
 * leaf. A child of fork goes on with its copy. At exit they go before OpenSSL's own exit handler runs, as everything
 * that a thread owns.
 *
 * Keys: a signer keeps its private key for its life. A verifier meets the same few members again and again, so it keeps
 * the parsed public keys, bounded, per thread.
 */
#include "dadbs/core/crypto.h"

#include <openssl/evp.h>
#include <openssl/rand.h>

#include <map>
#include <stdexcept>

namespace dadbs::core {
namespace {

constexpr size_t kParsedKeysMax = 2 * kNodesMax;

[[noreturn]] void FailOpenSsl(const char* what) { throw std::runtime_error(std::string("OpenSSL failed: ") + what); }

struct FreeKey {
  void operator()(EVP_PKEY* key) const { EVP_PKEY_free(key); }
};
using KeyPtr = std::unique_ptr<EVP_PKEY, FreeKey>;
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

ContextPtr NewContext() {
  ContextPtr context(EVP_MD_CTX_new());
  if (!context) FailOpenSsl("EVP_MD_CTX_new");
  return context;
}

class Ed25519Signer : public Signer {
 public:
  explicit Ed25519Signer(ByteView seed32)
      : key_(EVP_PKEY_new_raw_private_key(EVP_PKEY_ED25519, nullptr, seed32.data(), seed32.size())) {
    size_t size = PublicKey::kSize;
    if (!key_ || EVP_PKEY_get_raw_public_key(key_.get(), public_key_.bytes.data(), &size) != 1)
      FailOpenSsl("the Ed25519 seed was not accepted");
  }

  Signature Sign(ByteView message) const override {
    ContextPtr context = NewContext();
    Signature signature;
    size_t size = Signature::kSize;
    if (EVP_DigestSignInit(context.get(), nullptr, nullptr, nullptr, key_.get()) != 1 ||
        EVP_DigestSign(context.get(), signature.bytes.data(), &size, message.data(), message.size()) != 1)
      FailOpenSsl("Ed25519 signing");
    return signature;
  }

  PublicKey public_key() const override { return public_key_; }

 private:
  KeyPtr key_;
  PublicKey public_key_;
};

// Null: not a key. The cache is dropped whole when it is full: that happens only to somebody who checks other chains.
EVP_PKEY* ParsedKey(const PublicKey& key) {
  static thread_local std::map<PublicKey, KeyPtr> parsed;
  auto found = parsed.find(key);
  if (found != parsed.end()) return found->second.get();
  if (parsed.size() >= kParsedKeysMax) parsed.clear();
  KeyPtr fresh(EVP_PKEY_new_raw_public_key(EVP_PKEY_ED25519, nullptr, key.bytes.data(), key.bytes.size()));
  return parsed.emplace(key, std::move(fresh)).first->second.get();
}

class Ed25519 : public Verifier {
 public:
  bool Verify(const PublicKey& key, ByteView message, const Signature& signature) const override {
    EVP_PKEY* parsed = ParsedKey(key);
    if (parsed == nullptr) return false;
    ContextPtr context = NewContext();
    if (EVP_DigestVerifyInit(context.get(), nullptr, nullptr, nullptr, parsed) != 1)
      FailOpenSsl("EVP_DigestVerifyInit");
    return EVP_DigestVerify(context.get(), signature.bytes.data(), signature.bytes.size(), message.data(),
                            message.size()) == 1;
  }
};

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
  if (seed32.size() != 32) FailOpenSsl("an Ed25519 seed has 32 bytes");
  return std::make_unique<Ed25519Signer>(seed32);
}

const Verifier& Ed25519Verifier() {
  static const Ed25519 verifier;
  return verifier;
}

bool RandomBytes(std::span<uint8_t> out) { return RAND_bytes(out.data(), static_cast<int>(out.size())) == 1; }

}  // namespace dadbs::core
