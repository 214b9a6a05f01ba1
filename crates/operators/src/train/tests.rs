//! What `train` refuses before anything runs.

use crate::testing::{columns, mistakes};

fn check(options: &str) -> Vec<String> {
    mistakes(Some(&columns("part")), &format!("op: train, {options}"))
}

#[test]
fn a_token_cannot_visit_more_experts_than_there_are() {
    let moe = |experts_per_token: u32| {
        check(&format!("start: critic, moe: {{experts: 2, experts_per_token: {experts_per_token}}}"))
    };
    assert_eq!(moe(2), [""; 0]);
    let found = moe(3);
    assert!(found.len() == 1 && found[0].contains("expected at most 2 experts, found 3"), "{found:?}");
}

#[test]
fn experts_are_chosen_by_number_or_by_probability() {
    let moe = |others: &str| check(&format!("start: critic, moe: {{experts: 4, {others}}}"));
    assert_eq!(moe("top_p: 0.4, null_experts: 2"), [""; 0]);
    let found = moe("top_p: 0.4, experts_per_token: 2");
    assert!(found.len() == 1 && found[0].contains("probabilities decide"), "{found:?}");
    assert_eq!(moe("bias_update_rate: 0.001, router_aux_loss_coef: 0"), [""; 0]);
    for other in ["top_p: 0.4", "null_experts: 2"] {
        let found = moe(&format!("bias_update_rate: 0.001, {other}"));
        assert!(found.len() == 1 && found[0].contains("by number"), "{found:?}");
    }
    let found = moe("from: fine_grained, slices: 2, top_p: 0.4, null_experts: 2");
    assert!(found.len() == 2 && found.iter().all(|words| words.contains("whole sets")), "{found:?}");
}

#[test]
fn a_shared_expert_of_four_bits_is_frozen() {
    let mote = |bits: u32, others: &str| {
        check(&format!("start: critic, moe: {{from: mote, experts: 4, shared_expert_bits: {bits}}}{others}"))
    };
    assert_eq!(mote(4, ""), [""; 0]);
    assert_eq!(mote(4, ", freeze: [norms, shared_expert]"), [""; 0]);
    let found = mote(4, ", freeze: [norms]");
    assert!(found.len() == 1 && found[0].contains("which do not learn"), "{found:?}");
    let found = mote(3, "");
    assert!(found.len() == 1 && found[0].contains("4"), "{found:?}");
    let found = check("start: critic, moe: {experts: 4, shared_expert: true, shared_expert_bits: 4}");
    assert!(found.len() == 1 && found[0].contains("`from: mote` alone"), "{found:?}");
}

#[test]
fn routers_begin_with_texts_for_each_expert() {
    let moe = |others: &str| check(&format!("start: critic, moe: {{experts: 2, {others}}}"));
    assert_eq!(moe("gate: hidden, positive_prompts: [[1+1=], [2h30 in minutes, an hour]]"), [""; 0]);
    assert_eq!(moe("from: fine_grained, slices: 2, gate: cheap_embed, positive_prompts: [[1+1=]]"), [""; 0]);
    for (others, words) in [
        ("gate: hidden", "found none"),
        ("positive_prompts: [[a], [b]]", "begin by chance"),
        ("gate: hidden, positive_prompts: [[a], []]", "at least one text"),
        ("gate: cheap_embed, positive_prompts: [[a]]", "each of 2, found 1"),
        ("gate: hidden, positive_prompts: [[a], [b]], negative_prompts: [[b]]", "as `positive_prompts` has, 2, found 1"),
        ("gate: hidden, negative_prompts: [[a], [b]]", "found none"),
        ("negative_prompts: [[a], [b]]", "begin by chance"),
    ] {
        let found = moe(others);
        assert!(found.len() == 1 && found[0].contains(words), "{others}: {found:?}");
    }
}

#[test]
fn heads_divide_the_width_into_even_parts() {
    let init = |heads: u32| {
        let shape = "hidden_size: 24, intermediate_size: 32, num_hidden_layers: 1, vocab_size: 300";
        check(&format!("start: {{{shape}, max_position_embeddings: 64, num_attention_heads: {heads}}}"))
    };
    assert_eq!(init(4), [""; 0]);
    // Five do not divide 24; eight do, but into odd parts, which rotary positions cannot pair.
    for heads in [5, 8] {
        let found = init(heads);
        assert!(found.len() == 1 && found[0].contains(&format!("found {heads} heads")), "{found:?}");
    }
}

#[test]
fn training_needs_parts() {
    let found = mistakes(Some(&columns("prompt draw")), "op: train, start: critic");
    assert!(found.len() == 1 && found[0].contains("put a `write` step before `train`"), "{found:?}");
}

#[test]
fn adapters_stand_on_a_model_that_stays() {
    let lora = |others: &str| check(&format!("lora: {{rank: 4, targets: [q_proj]}}, {others}"));
    assert_eq!(lora("start: critic"), [""; 0]);
    let found = lora("start: critic, freeze: [norms], moe: {experts: 2}");
    assert!(found.len() == 2 && found[0].contains("frozen already") && found[1].contains("needs a model"), "{found:?}");
    let shape = "hidden_size: 24, intermediate_size: 32, num_hidden_layers: 1, vocab_size: 300";
    let found = lora(&format!("start: {{{shape}, max_position_embeddings: 64, num_attention_heads: 4}}"));
    assert!(found.len() == 1 && found[0].contains("needs a model as the start"), "{found:?}");
}

#[test]
fn preferences_are_not_between_chats() {
    let dpo = |others: &str| check(&format!("start: critic, loss: {{dpo: {{beta: 0.2, rejected: worse}}}}{others}"));
    assert_eq!(dpo(""), [""; 0]);
    let found = dpo(", messages: messages");
    assert!(found.len() == 1 && found[0].contains("two completions"), "{found:?}");
    assert_eq!(check("start: critic, loss: cross_entropy, weight: w"), [""; 0]);
}
