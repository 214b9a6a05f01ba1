//! How it runs: stages on timely and differential-dataflow, ticks, effects, conservation.
