/*
 * tls.h: TLS 1.3 over memory, between nodes that know each other's Ed25519 keys.
 *
 * A node's certificate is made at start, self-signed with its key, and means nothing but the key. The other side's
 * verification compares the certificate's key with the ones that it accepts; TLS itself proves that the peer holds it.
 * No authorities, names or dates; no tickets, no resumption, no early data.
 */
#pragma once

#include <openssl/ssl.h>

#include <functional>
#include <memory>
#include <string>

#include "dadbs/core/types.h"

namespace dadbs::net {

class TlsIdentity {
 public:
  // Null: OpenSSL failed, or the seed is not 32 bytes.
  static std::unique_ptr<TlsIdentity> Create(core::ByteView seed, std::string* error);
  ~TlsIdentity() { SSL_CTX_free(context_); }
  TlsIdentity(const TlsIdentity&) = delete;
  SSL_CTX* context() const { return context_; }

 private:
  explicit TlsIdentity(SSL_CTX* context) : context_(context) {}
  SSL_CTX* context_;
};

class TlsSession {
 public:
  using AcceptsKey = std::function<bool(const core::PublicKey&)>;  // called below OpenSSL's frames: must not throw

  TlsSession() = default;
  ~TlsSession() { SSL_free(ssl_); }
  TlsSession(const TlsSession&) = delete;
  TlsSession& operator=(const TlsSession&) = delete;

  bool Start(const TlsIdentity& identity, bool server, AcceptsKey accepts, std::string* error);
  bool started() const { return ssl_ != nullptr; }

  enum class Outcome { kDone, kAgain, kClosed, kFailed };
  bool Feed(core::ByteView ciphertext);  // from the peer
  Outcome Handshake(std::string* why);
  Outcome Read(uint8_t* to, size_t room, size_t* got, std::string* why);
  bool Write(core::ByteView plaintext);       // whole, or the session has failed
  void TakeOutgoing(core::Bytes* append_to);  // for the peer
  const core::PublicKey& peer_key() const { return peer_key_; }

 private:
  friend class TlsIdentity;
  static int Verify(X509_STORE_CTX* store, void*) noexcept;
  std::string Why(const char* what);

  SSL* ssl_ = nullptr;
  BIO* in_ = nullptr;  // owned by ssl_, both
  BIO* out_ = nullptr;
  AcceptsKey accepts_;
  core::PublicKey peer_key_;
  std::string refused_;  // why Verify said no
};

}  // namespace dadbs::net
