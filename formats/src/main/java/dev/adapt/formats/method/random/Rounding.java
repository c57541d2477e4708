package dev.adapt.formats.method.random;

/** How a product and a sum were rounded on the machine that drew random numbers. */
public enum Rounding {
    /** Once: CPUs with fused multiply-add, which is all current ones. */
    FMA,
    /** Twice: torch's path for CPUs without FMA. About half of a uniform tensor's elements then differ in the last bit. */
    UNFUSED
}
