#include "dadbs/core/crypto.h"

#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <thread>

#include "chain_fixture.h"

namespace dadbs::core {
namespace {

using test::FromHex;

// A hash starts with its domain, so a NIST message (FIPS 180-4 examples, SHAVS) is split: its first byte is the domain.
Digest Sha256(ByteView message) { return Hash(static_cast<Domain>(message[0]), message.subspan(1)); }

TEST(Crypto, Sha256NistVectors) {
  EXPECT_EQ(ToHex(Sha256(AsBytes("abc")).view()), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  EXPECT_EQ(ToHex(Sha256(AsBytes("abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq")).view()),
            "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1");
  EXPECT_EQ(ToHex(Sha256(FromHex("d3")).view()), "28969cdfa74a12c82f3bad960b0b000aca2ac329deea5c2328ebc6f2ba9802c1");
  EXPECT_EQ(ToHex(Sha256(FromHex("11af")).view()), "5ca7133fa735326081558ac312c620eeca9970d1e70a4b95533d956f072d1f98");
  EXPECT_EQ(ToHex(Sha256(Bytes(1'000'000, 'a')).view()),
            "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
}

TEST(Crypto, HashJoinsItsPartsBehindTheDomain) {
  const Bytes ab = {'a', 'b'}, a = {'a'}, b = {'b'};
  EXPECT_EQ(Hash(Domain::kBatch, ab), Hash(Domain::kBatch, {a, b}));
  EXPECT_EQ(Hash(Domain::kBatch, ab), Hash(Domain::kBatch, {a, ByteView{}, b}));
  EXPECT_NE(Hash(Domain::kBatch, ab), Hash(Domain::kGenesis, ab));
}

struct Rfc8032 {
  const char *seed, *key, *message, *signature;
};
const Rfc8032 kRfc8032[] = {
    {"9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60",
     "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a", "",
     "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555fb8821590a33bacc61e39701cf9b46bd25bf5f0595bbe246"
     "55"
     "141438e7a100b"},
    {"4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb",
     "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c", "72",
     "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb"
     "00"
     "d291612bb0c00"},
    {"c5aa8df43f9f837bedb7442f31dcb7b166d38535076f094b85ce3a2e0b4458f7",
     "fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025", "af82",
     "6291d657deec24024827e69c3abe01a30ce548a284743a445e3680d7db5ac3ac18ff9b538d16f290ae67f760984dc6594a7c15e9716ed28dc"
     "02"
     "7beceea1ec40a"},
};

TEST(Crypto, Ed25519Rfc8032Vectors) {
  for (const Rfc8032& v : kRfc8032) {
    const auto signer = MakeEd25519Signer(FromHex(v.seed));
    const Bytes message = FromHex(v.message);
    EXPECT_EQ(ToHex(signer->public_key().view()), v.key);
    const Signature signature = signer->Sign(message);
    EXPECT_EQ(ToHex(signature.view()), v.signature);
    EXPECT_TRUE(Ed25519Verifier().Verify(signer->public_key(), message, signature));
  }
}

TEST(Crypto, VerifyRefusesEveryFlippedBit) {
  const auto signer = MakeEd25519Signer(Bytes(32, 3));
  const Bytes message = {1, 2, 3, 4};
  const Signature good = signer->Sign(message);
  for (size_t bit = 0; bit < Signature::kSize * 8; bit++) {
    Signature bad = good;
    bad.bytes[bit / 8] ^= static_cast<uint8_t>(1 << bit % 8);
    ASSERT_FALSE(Ed25519Verifier().Verify(signer->public_key(), message, bad)) << bit;
  }
  for (size_t bit = 0; bit < message.size() * 8; bit++) {
    Bytes bad = message;
    bad[bit / 8] ^= static_cast<uint8_t>(1 << bit % 8);
    ASSERT_FALSE(Ed25519Verifier().Verify(signer->public_key(), bad, good)) << bit;
  }
  EXPECT_FALSE(Ed25519Verifier().Verify(MakeEd25519Signer(Bytes(32, 4))->public_key(), message, good));
}

// S + L is the same scalar: a second spelling of one signature must not pass.
TEST(Crypto, VerifyRefusesMalleatedSignature) {
  const auto signer = MakeEd25519Signer(Bytes(32, 3));
  const Bytes message = {1};
  Signature s = signer->Sign(message);
  const Bytes order = FromHex("edd3f55c1a631258d69cf7a2def9de1400000000000000000000000000000010");
  unsigned carry = 0;
  for (size_t i = 0; i < 32; i++) {
    carry += s.bytes[32 + i] + order[i];
    s.bytes[32 + i] = static_cast<uint8_t>(carry);
    carry >>= 8;
  }
  EXPECT_FALSE(Ed25519Verifier().Verify(signer->public_key(), message, s));
}

TEST(Crypto, ManyKeysAndGarbageKeys) {
  test::Random random(1);
  const Bytes message = {9};
  for (int i = 0; i < 500; i++) {
    const auto signer = MakeEd25519Signer(test::RandomBytes(random, 32));
    const Signature signature = signer->Sign(message);
    PublicKey garbage;
    const Bytes bytes = test::RandomBytes(random, 32);
    std::copy(bytes.begin(), bytes.end(), garbage.bytes.begin());
    ASSERT_TRUE(Ed25519Verifier().Verify(signer->public_key(), message, signature));
    ASSERT_FALSE(Ed25519Verifier().Verify(garbage, message, signature));
  }
}

TEST(Crypto, SeedOfWrongSizeIsRefused) {
  EXPECT_THROW(MakeEd25519Signer(Bytes(31, 1)), std::runtime_error);
  EXPECT_THROW(MakeEd25519Signer(Bytes(33, 1)), std::runtime_error);
}

TEST(Crypto, RandomBytesDiffer) {
  Salt a, b;
  ASSERT_TRUE(RandomBytes(a.bytes));
  ASSERT_TRUE(RandomBytes(b.bytes));
  EXPECT_NE(a, b);
}

TEST(Crypto, WorksInThreadsAndAfterFork) {
  const Digest expected = Hash(Domain::kBatch, AsBytes("x"));
  Digest in_thread;
  std::thread([&] { in_thread = Hash(Domain::kBatch, AsBytes("x")); }).join();
  EXPECT_EQ(in_thread, expected);
  const pid_t child = fork();
  ASSERT_GE(child, 0);
  if (child == 0) _exit(Hash(Domain::kBatch, AsBytes("x")) == expected ? 0 : 1);
  int status = -1;
  waitpid(child, &status, 0);
  EXPECT_EQ(status, 0);
}

}  // namespace
}  // namespace dadbs::core
