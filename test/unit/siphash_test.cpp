// SipHash-2-4-128 against the vectors of its reference code (key 00..0f, message 00..n-1) and against OpenSSL's.
#include "dadbs/core/siphash.h"

#include <gtest/gtest.h>
#include <openssl/evp.h>
#include <openssl/params.h>

namespace dadbs::core {
namespace {

Bytes Counting(size_t n) {
  Bytes bytes(n);
  for (size_t i = 0; i < n; i++) bytes[i] = static_cast<uint8_t>(i);
  return bytes;
}

Bytes Flat(KeyHash hash) {
  Bytes out;
  for (uint64_t word : {hash.lo, hash.hi})
    for (int i = 0; i < 8; i++) out.push_back(static_cast<uint8_t>(word >> (8 * i)));
  return out;
}

Bytes OpenSsl(ByteView key, ByteView message) {
  EVP_MAC* mac = EVP_MAC_fetch(nullptr, "SIPHASH", nullptr);
  EVP_MAC_CTX* context = EVP_MAC_CTX_new(mac);
  size_t size = 16;
  OSSL_PARAM params[] = {OSSL_PARAM_construct_size_t("size", &size), OSSL_PARAM_construct_end()};
  Bytes out(16);
  EXPECT_EQ(EVP_MAC_init(context, key.data(), 16, params), 1);
  EXPECT_EQ(EVP_MAC_update(context, message.data(), message.size()), 1);
  EXPECT_EQ(EVP_MAC_final(context, out.data(), &size, out.size()), 1);
  EVP_MAC_CTX_free(context);
  EVP_MAC_free(mac);
  return out;
}

TEST(SipHash, ReferenceVectors) {
  Bytes const key = Counting(16);
  EXPECT_EQ(ToHex(Flat(SipHash128(key, {}))), "a3817f04ba25a8e66df67214c7550293");
  EXPECT_EQ(ToHex(Flat(SipHash128(key, Counting(1)))), "da87c1d86b99af44347659119b22fc45");
}

TEST(SipHash, EqualsOpenSsl) {
  Bytes const key = Counting(16);
  for (size_t n = 0; n < 100; n++) EXPECT_EQ(Flat(SipHash128(key, Counting(n))), OpenSsl(key, Counting(n))) << n;
}

}  // namespace
}  // namespace dadbs::core
