use super::*;
use proptest::prelude::*;

/// RFC 6962's recursive definition, word for word.
fn naive_root(leaves: &[Hash]) -> Hash {
    match leaves {
        [] => Hash(Sha256::digest([]).into()),
        [leaf] => *leaf,
        _ => {
            let mut k = 1;
            while k * 2 < leaves.len() {
                k *= 2;
            }
            let mut bytes = vec![1];
            bytes.extend(naive_root(&leaves[..k]).0);
            bytes.extend(naive_root(&leaves[k..]).0);
            Hash(Sha256::digest(bytes).into())
        }
    }
}

fn leaves(count: usize) -> Vec<Hash> {
    let leaf = |index: usize| Hash(Sha256::digest(index.to_le_bytes()).into());
    (0..count).map(leaf).collect()
}

#[test]
fn every_small_tree_equals_the_definition_and_proves_every_leaf() {
    for count in 0..70 {
        let all = leaves(count);
        let root = root(&all);
        assert_eq!(root, naive_root(&all), "{count} leaves");
        assert_eq!(prove(&all, count), None);
        for index in 0..count {
            let proof = prove(&all, index).unwrap();
            assert!(verify_proof(all[index], &proof, root), "{index} of {count}");
            // The same path proves no other leaf and no other place.
            for other in 0..count {
                let moved = Proof {
                    index: other as u64,
                    ..proof.clone()
                };
                assert_eq!(verify_proof(all[index], &moved, root), other == index);
                assert_eq!(verify_proof(all[other], &proof, root), other == index);
            }
        }
    }
}

proptest! {
    #[test]
    fn large_trees_do_too(count in 70usize..2000, at in any::<prop::sample::Index>()) {
        let all = leaves(count);
        let root = root(&all);
        prop_assert_eq!(root, naive_root(&all));
        let index = at.index(count);
        prop_assert!(verify_proof(all[index], &prove(&all, index).unwrap(), root));
    }

    #[test]
    fn an_altered_proof_proves_nothing(
        count in 1usize..200, at in any::<prop::sample::Index>(), bit in 0usize..256,
        level in any::<prop::sample::Index>(), size in 0u64..400,
    ) {
        let all = leaves(count);
        let root = root(&all);
        let index = at.index(count);
        let proof = prove(&all, index).unwrap();
        let flip = |hash: &mut Hash| hash.0[bit / 8] ^= 1 << (bit % 8);

        let mut leaf = all[index];
        flip(&mut leaf);
        prop_assert!(!verify_proof(leaf, &proof, root));
        if !proof.path.is_empty() {
            let mut altered = proof.clone();
            flip(&mut altered.path[level.index(proof.path.len())]);
            prop_assert!(!verify_proof(all[index], &altered, root));
            let mut shorter = proof.clone();
            shorter.path.pop();
            prop_assert!(!verify_proof(all[index], &shorter, root));
        }
        let mut longer = proof.clone();
        longer.path.push(root);
        prop_assert!(!verify_proof(all[index], &longer, root));
        // The number of leaves is not hashed (it stands in the line, whose hash holds it), but a
        // wrong one must never prove a leaf at a place that it does not have.
        let resized = Proof { leaves: size, ..proof };
        if size <= index as u64 {
            prop_assert!(!verify_proof(all[index], &resized, root));
        }
    }

    #[test]
    fn every_field_of_a_click_is_in_its_leaf(bit in 0usize..64, field in 0..4) {
        let click = click();
        let mut other = click;
        match field {
            0 => {
                let mut parts = click.id.parts();
                parts.random ^= 1 << (bit % 48);
                other.id = ClickId::new(parts);
            }
            1 => other.received_at.0 ^= 1 << bit,
            2 => other.price.0 ^= 1 << bit,
            _ => other.share.0 ^= 1 << bit,
        }
        prop_assert_ne!(click.leaf(), other.leaf());
    }
}

fn click() -> BilledClick {
    BilledClick {
        id: "017f22e2-79b0-7cc3-98c4-dc0c0c07398f".parse().unwrap(),
        received_at: Millis(1_645_557_742_000),
        price: Micros(350_000),
        share: Micros(245_000),
    }
}

#[test]
fn hashes_are_pinned() {
    // From another implementation of SHA-256 over the documented bytes: see the docs for how.
    assert_eq!(click().leaf().to_string(), PINNED_LEAF);
    assert_eq!(
        root(&[click().leaf(), click().leaf()]).to_string(),
        PINNED_PAIR
    );
    let empty = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
    assert_eq!(root(&[]).to_string(), empty);
}

const PINNED_LEAF: &str = "2b7448197e4633acce47985b13a8350142b9a5cd761b53673125885ab501a458";
const PINNED_PAIR: &str = "5c8634a6f87d876c951e9631a7985c3eb088e70b1fd37d07c27667a77c7f16ee";
