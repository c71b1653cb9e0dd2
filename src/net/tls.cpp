/*
 * tls.cpp: see tls.h.
 */
#include "tls.h"

#include <openssl/err.h>
#include <openssl/x509.h>

namespace dadbs::net {

using namespace core;

namespace {

constexpr long kCertificateBytesMax = 4096;  // a node's has some 300

struct Deleter {
  void operator()(EVP_PKEY* p) const { EVP_PKEY_free(p); }
  void operator()(X509* p) const { X509_free(p); }
  void operator()(SSL_CTX* p) const { SSL_CTX_free(p); }
};
template <class T>
using Owned = std::unique_ptr<T, Deleter>;

std::string LastError() {
  unsigned long code = ERR_peek_last_error();
  const char* reason = code != 0 ? ERR_reason_error_string(code) : nullptr;
  ERR_clear_error();
  return reason ? reason : "unknown error";
}

Owned<X509> SelfSigned(EVP_PKEY* key) {
  Owned<X509> certificate(X509_new());
  X509* c = certificate.get();
  if (!c) return nullptr;
  X509_NAME* name = X509_get_subject_name(c);
  bool made = X509_set_version(c, 2) == 1 && ASN1_INTEGER_set(X509_get_serialNumber(c), 1) == 1 &&
              ASN1_TIME_set_string(X509_getm_notBefore(c), "19700101000000Z") == 1 &&
              ASN1_TIME_set_string(X509_getm_notAfter(c), "99991231235959Z") == 1 &&
              X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC, reinterpret_cast<const unsigned char*>("dadbs"), -1,
                                         -1, 0) == 1 &&
              X509_set_issuer_name(c, name) == 1 && X509_set_pubkey(c, key) == 1 && X509_sign(c, key, nullptr) > 0;
  return made ? std::move(certificate) : nullptr;
}

// As people know it: the form of a node's description.
std::string KeyText(const PublicKey& key) {
  unsigned char base64[4 * ((PublicKey::kSize + 2) / 3) + 1];
  const int n = EVP_EncodeBlock(base64, key.bytes.data(), PublicKey::kSize);
  return "ed25519:" + std::string(reinterpret_cast<char*>(base64), static_cast<size_t>(n));
}

}  // namespace

std::unique_ptr<TlsIdentity> TlsIdentity::Create(ByteView seed, std::string* error) {
  auto fail = [&](const char* what) { return *error = std::string(what) + ": " + LastError(), nullptr; };
  if (seed.size() != 32) return *error = "the node's key must have 32 bytes", nullptr;
  Owned<EVP_PKEY> key(EVP_PKEY_new_raw_private_key(EVP_PKEY_ED25519, nullptr, seed.data(), seed.size()));
  if (!key) return fail("could not read the node's key");
  Owned<X509> certificate = SelfSigned(key.get());
  if (!certificate) return fail("could not make the node's certificate");
  Owned<SSL_CTX> owned(SSL_CTX_new(TLS_method()));
  SSL_CTX* c = owned.get();
  bool set = c && SSL_CTX_set_min_proto_version(c, TLS1_3_VERSION) == 1 &&
             SSL_CTX_set_max_proto_version(c, TLS1_3_VERSION) == 1 &&
             SSL_CTX_set_ciphersuites(c, "TLS_AES_128_GCM_SHA256:TLS_CHACHA20_POLY1305_SHA256") == 1 &&
             SSL_CTX_set1_groups_list(c, "X25519") == 1 && SSL_CTX_set1_sigalgs_list(c, "ed25519") == 1 &&
             SSL_CTX_use_certificate(c, certificate.get()) == 1 && SSL_CTX_use_PrivateKey(c, key.get()) == 1 &&
             SSL_CTX_set_num_tickets(c, 0) == 1;
  if (!set) return fail("could not set up TLS");
  SSL_CTX_set_options(c, SSL_OP_NO_TICKET | SSL_OP_NO_COMPRESSION | SSL_OP_NO_RENEGOTIATION);
  SSL_CTX_set_session_cache_mode(c, SSL_SESS_CACHE_OFF);
  SSL_CTX_set_mode(c, SSL_MODE_RELEASE_BUFFERS);
  SSL_CTX_set_max_cert_list(c, kCertificateBytesMax);
  SSL_CTX_set_verify(c, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, nullptr);
  SSL_CTX_set_cert_verify_callback(c, TlsSession::Verify, nullptr);
  return std::unique_ptr<TlsIdentity>(new TlsIdentity(owned.release()));
}

// Replaces the verification of chains: the key is all that counts.
int TlsSession::Verify(X509_STORE_CTX* store, void*) noexcept {
  auto* ssl = static_cast<SSL*>(X509_STORE_CTX_get_ex_data(store, SSL_get_ex_data_X509_STORE_CTX_idx()));
  auto* self = static_cast<TlsSession*>(SSL_get_app_data(ssl));
  X509* certificate = X509_STORE_CTX_get0_cert(store);
  EVP_PKEY* key = certificate ? X509_get0_pubkey(certificate) : nullptr;
  size_t bytes = PublicKey::kSize;
  X509_STORE_CTX_set_error(store, X509_V_ERR_APPLICATION_VERIFICATION);
  if (!key || EVP_PKEY_get_base_id(key) != EVP_PKEY_ED25519 ||
      EVP_PKEY_get_raw_public_key(key, self->peer_key_.bytes.data(), &bytes) != 1 || bytes != PublicKey::kSize) {
    self->refused_ = "it shows no Ed25519 key";
    return 0;
  }
  if (!self->accepts_(self->peer_key_)) {
    self->refused_ = "it shows the key " + KeyText(self->peer_key_) +
                     (SSL_is_server(ssl) ? ", which is no member's" : ", which is not the one expected");
    return 0;
  }
  X509_STORE_CTX_set_error(store, X509_V_OK);
  return 1;
}

bool TlsSession::Start(const TlsIdentity& identity, bool server, AcceptsKey accepts, std::string* error) {
  ssl_ = SSL_new(identity.context());
  in_ = BIO_new(BIO_s_mem());
  out_ = BIO_new(BIO_s_mem());
  if (!ssl_ || !in_ || !out_) {
    BIO_free(in_);
    BIO_free(out_);
    in_ = out_ = nullptr;
    return *error = "could not start TLS: " + LastError(), false;
  }
  BIO_set_mem_eof_return(in_, -1);
  BIO_set_mem_eof_return(out_, -1);
  SSL_set_bio(ssl_, in_, out_);
  SSL_set_app_data(ssl_, this);
  accepts_ = std::move(accepts);
  if (server)
    SSL_set_accept_state(ssl_);
  else
    SSL_set_connect_state(ssl_);
  return true;
}

bool TlsSession::Feed(ByteView ciphertext) {
  return ciphertext.empty() ||
         BIO_write(in_, ciphertext.data(), static_cast<int>(ciphertext.size())) == static_cast<int>(ciphertext.size());
}

std::string TlsSession::Why(const char* what) {
  if (!refused_.empty()) {
    ERR_clear_error();
    return refused_;
  }
  return std::string(what) + ": " + LastError();
}

TlsSession::Outcome TlsSession::Handshake(std::string* why) {
  ERR_clear_error();
  int result = SSL_do_handshake(ssl_);
  if (result == 1) return Outcome::kDone;
  if (SSL_get_error(ssl_, result) == SSL_ERROR_WANT_READ) return Outcome::kAgain;
  *why = Why("the TLS handshake failed");
  return Outcome::kFailed;
}

TlsSession::Outcome TlsSession::Read(uint8_t* to, size_t room, size_t* got, std::string* why) {
  ERR_clear_error();
  int result = SSL_read_ex(ssl_, to, room, got);
  if (result == 1) return Outcome::kDone;
  switch (SSL_get_error(ssl_, result)) {
    case SSL_ERROR_WANT_READ:
      return Outcome::kAgain;
    case SSL_ERROR_ZERO_RETURN:
      return Outcome::kClosed;
    default:
      *why = Why("TLS failed");
      return Outcome::kFailed;
  }
}

bool TlsSession::Write(ByteView plaintext) {
  ERR_clear_error();
  size_t written = 0;
  return SSL_write_ex(ssl_, plaintext.data(), plaintext.size(), &written) == 1 && written == plaintext.size();
}

void TlsSession::TakeOutgoing(Bytes* append_to) {
  size_t pending = BIO_ctrl_pending(out_);
  if (pending == 0) return;
  size_t before = append_to->size();
  append_to->resize(before + pending);
  BIO_read(out_, append_to->data() + before, static_cast<int>(pending));
}

}  // namespace dadbs::net
