/*
 * messages.cpp: the bytes of capture_messages.h. Pure: knows OpenSSL's HMAC and the core's encoding, nothing of
 * Postgres.
 */
#include "dadbs/pg/capture_messages.h"

#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/params.h>

#include <algorithm>
#include <stdexcept>

namespace dadbs::pg {

using core::ByteView;
using core::Bytes;
using core::Reader;
using core::Writer;

namespace {

// Keyed once per process (the secret lives as long as the server) and reused: to fetch and key it costs more than the
// MAC of a short message.
class Hmac {
 public:
  explicit Hmac(ByteView secret) {
    EVP_MAC* const algorithm = EVP_MAC_fetch(nullptr, "HMAC", nullptr);
    if (algorithm != nullptr) context_ = EVP_MAC_CTX_new(algorithm);
    char digest[] = "SHA2-256";
    OSSL_PARAM const params[] = {OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, digest, 0), OSSL_PARAM_END};
    if (context_ == nullptr || EVP_MAC_init(context_, secret.data(), secret.size(), params) != 1)
      throw std::runtime_error("HMAC-SHA-256 is not available");
  }
  void Compute(ByteView message, uint8_t out[kMacBytes]) {
    size_t length = 0;
    if (EVP_MAC_init(context_, nullptr, 0, nullptr) != 1 ||
        EVP_MAC_update(context_, message.data(), message.size()) != 1 ||
        EVP_MAC_final(context_, out, &length, kMacBytes) != 1 || length != kMacBytes)
      throw std::runtime_error("HMAC-SHA-256 failed");
  }

 private:
  EVP_MAC_CTX* context_ = nullptr;
};

void Mac(ByteView message, ByteView secret, uint8_t out[kMacBytes]) {
  static Hmac* hmac = nullptr;
  static Bytes key;
  if (hmac == nullptr || !std::ranges::equal(key, secret)) {
    hmac = new Hmac(secret);
    key.assign(secret.begin(), secret.end());
  }
  hmac->Compute(message, out);
}

Bytes Seal(Writer* w, ByteView secret) {
  uint8_t mac[kMacBytes] = {};
  Mac(w->bytes(), secret, mac);
  w->Raw(mac);
  return w->Take();
}

ByteView Body(ByteView message) { return message.subspan(1, message.size() - 1 - kMacBytes); }

}  // namespace

Bytes EncodeReady(const ReadyMessage& m, ByteView secret) {
  Writer w;
  w.U8('R');
  w.U32(m.procno);
  w.U32(m.hold);
  w.U32(m.xid);
  w.U32(m.emitted);
  w.U32(m.flags);
  w.I64(m.begun_at_us);
  w.Str(m.user);
  w.Str(m.application_name);
  w.U32(static_cast<uint32_t>(m.children.size()));
  for (uint32_t child : m.children) w.U32(child);
  w.U32(static_cast<uint32_t>(m.relations.size()));
  for (const RelationCount& r : m.relations) {
    w.U32(r.relation);
    w.U8(r.ignored);
    w.U8(r.truncated);
    w.U64(r.inserted);
    w.U64(r.updated);
    w.U64(r.deleted);
  }
  return Seal(&w, secret);
}

Bytes EncodeLone(const LoneMessage& m, ByteView secret) {
  Writer w;
  w.U8('L');
  w.U32(m.procno);
  w.U32(m.hold);
  w.U8(static_cast<uint8_t>(m.kind));
  w.I64(m.begun_at_us);
  w.Str(m.user);
  w.Str(m.application_name);
  w.U32(static_cast<uint32_t>(m.changes.size()));
  for (ByteView change : m.changes) w.Blob(change);
  return Seal(&w, secret);
}

Bytes EncodeChangeMessage(const ChangeMessage& m, ByteView secret) {
  Writer w;
  w.U8('C');
  w.U32(m.xid);
  w.Blob(m.change);
  return Seal(&w, secret);
}

char CheckMessage(ByteView message, ByteView secret) {
  if (message.size() < 1 + kMacBytes) return 0;
  uint8_t mac[kMacBytes] = {};
  Mac(message.first(message.size() - kMacBytes), secret, mac);
  if (CRYPTO_memcmp(mac, message.last(kMacBytes).data(), kMacBytes) != 0) return 0;
  return static_cast<char>(message[0]);
}

std::optional<ReadyMessage> DecodeReady(ByteView message) {
  Reader r(Body(message));
  ReadyMessage m;
  m.procno = r.U32();
  m.hold = r.U32();
  m.xid = r.U32();
  m.emitted = r.U32();
  m.flags = r.U32();
  m.begun_at_us = r.I64();
  m.user = r.Str();
  m.application_name = r.Str();
  uint32_t const children = r.U32();
  if (children > r.remaining() / 4) return std::nullopt;
  m.children.reserve(children);
  for (uint32_t i = 0; i < children; i++) m.children.push_back(r.U32());
  uint32_t const relations = r.U32();
  for (uint32_t i = 0; i < relations && r.ok(); i++) {
    RelationCount c;
    c.relation = r.U32();
    c.ignored = r.U8() != 0;
    c.truncated = r.U8() != 0;
    c.inserted = r.U64();
    c.updated = r.U64();
    c.deleted = r.U64();
    m.relations.push_back(c);
  }
  if (!r.Done()) return std::nullopt;
  return m;
}

std::optional<LoneMessage> DecodeLone(ByteView message) {
  Reader r(Body(message));
  LoneMessage m;
  m.procno = r.U32();
  m.hold = r.U32();
  m.kind = static_cast<core::WriteSetKind>(r.U8());
  m.begun_at_us = r.I64();
  m.user = r.Str();
  m.application_name = r.Str();
  uint32_t const count = r.U32();
  for (uint32_t i = 0; r.ok() && i < count; i++) m.changes.push_back(r.Blob());
  if (!r.Done() || m.changes.empty()) return std::nullopt;
  return m;
}

std::optional<ChangeMessage> DecodeChangeMessage(ByteView message) {
  Reader r(Body(message));
  ChangeMessage m;
  m.xid = r.U32();
  m.change = r.Blob();
  if (!r.Done()) return std::nullopt;
  return m;
}

}  // namespace dadbs::pg
