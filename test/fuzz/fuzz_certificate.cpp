// Certificates: none but those that a quorum signed verifies.
#include "../unit/chain_fixture.h"
#include "fuzz_target.h"

namespace dadbs::core::fuzz {
namespace {

const test::TestCluster& Cluster() {
  static const test::TestCluster cluster(4);
  return cluster;
}

}  // namespace

void TryInput(ByteView input) {
  static const std::vector<Bytes> sound = Seeds();
  Certificate certificate;
  if (!Certificate::Decode(input, &certificate)) return;
  Require(std::ranges::equal(certificate.Encode(), input), "the encoding is canonical");
  if (!VerifyCertificate(certificate, Cluster().genesis, Ed25519Verifier())) return;
  // Whatever verifies is about something that the members did sign.
  for (const Bytes& bytes : sound) {
    Certificate signed_by_all;
    Require(Certificate::Decode(bytes, &signed_by_all), "seeds decode");
    if (certificate.hash == signed_by_all.hash && certificate.height == signed_by_all.height &&
        certificate.phase == signed_by_all.phase && certificate.view == signed_by_all.view)
      return;
  }
  Require(false, "a forged certificate");
}

std::vector<Bytes> Seeds() {
  const Digest hash = test::Filled<Digest>(5);
  return {Cluster().Certify(Height{3}, hash, 4).Encode(),
          Cluster().Certify(Height{9}, hash, 4, Phase::kPrepare, View{2}).Encode()};
}

}  // namespace dadbs::core::fuzz
