package dev.adapt.train;

import dev.adapt.formats.method.AdapterMethod;
import dev.adapt.formats.model.WholeModel;

/** What a run trains. */
public sealed interface Learner {
    /** A new adapter beside a frozen base. */
    record Adapter(AdapterMethod method) implements Learner {}

    /** All of a model. */
    record Whole(WholeModel model) implements Learner {}
}
