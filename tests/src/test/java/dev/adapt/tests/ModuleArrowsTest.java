package dev.adapt.tests;

import static com.tngtech.archunit.core.domain.JavaClass.Predicates.resideInAPackage;
import static com.tngtech.archunit.core.domain.JavaClass.Predicates.resideInAnyPackage;
import static com.tngtech.archunit.lang.syntax.ArchRuleDefinition.fields;
import static com.tngtech.archunit.lang.syntax.ArchRuleDefinition.noClasses;
import static org.junit.jupiter.api.Assertions.assertDoesNotThrow;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import com.tngtech.archunit.core.domain.JavaClasses;
import com.tngtech.archunit.core.importer.ClassFileImporter;
import com.tngtech.archunit.core.importer.ImportOption;
import com.tngtech.archunit.lang.ArchRule;
import java.nio.file.Files;
import java.nio.file.Path;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;

/** Which module knows which, which library each may use, and what no class of ours does. */
class ModuleArrowsTest {
    private static final JavaClasses OURS = new ClassFileImporter()
            .withImportOption(ImportOption.Predefined.DO_NOT_INCLUDE_TESTS)
            .importPackages("dev.adapt");

    @ParameterizedTest
    @ValueSource(strings = {"formats", "merge", "train", "verify", "cli"})
    void everyModuleIsLookedAt(String module) {
        assumeTrue(Files.isDirectory(Path.of("..", module, "src", "main", "java")), module + " is still empty");
        assertTrue(OURS.stream().anyMatch(resideInAPackage(in(module))), () -> "no class of " + module + " was found");
    }

    @ParameterizedTest
    @CsvSource({
        "formats, merge",
        "formats, train",
        "formats, verify",
        "formats, cli",
        "merge, train",
        "merge, verify",
        "merge, cli",
        "train, merge",
        "train, verify",
        "train, cli",
        "verify, merge",
        "verify, train",
        "verify, cli"
    })
    void doesNotKnow(String module, String other) {
        doesNotKnowRule(module, other).check(OURS);
    }

    @ParameterizedTest
    @CsvSource({
        "jdk.incubator.vector.., merge",
        "io.airlift.., merge",
        "org.ejml.., merge",
        "ai.djl.., train",
        "ai.onnxruntime.., verify",
        "com.code_intelligence.., tests",
        "picocli.., cli",
        "com.google.protobuf.., formats",
        "com.google.flatbuffers.., formats"
    })
    void libraryIsUsedOnlyIn(String library, String module) {
        usedOnlyInRule(library, module).check(OURS);
    }

    @ParameterizedTest
    @ValueSource(strings = {"Util", "Utils", "Helper", "Helpers", "Manager"})
    void noClassIsNamed(String ending) {
        noNameEndsWithRule(ending).check(OURS);
    }

    @Test
    void noClassIsNamedAbstract() {
        noClasses().should().haveSimpleNameStartingWith("Abstract").check(OURS);
    }

    @Test
    void noStaticStateCanChange() {
        staticFieldsAreFinalRule().check(OURS);
    }

    @Test
    void onlyMainExits() {
        onlyMainExitsRule().check(OURS);
    }

    /** Every kind of rule is seen to fail, on real dependencies or on the planted class. */
    @Test
    void rulesCanFail() {
        JavaClasses planted = new ClassFileImporter().importClasses(PlantedUtils.class);
        fails(doesNotKnowRule("cli", "formats"), OURS);
        fails(usedOnlyInRule("picocli..", "merge"), OURS);
        fails(noNameEndsWithRule("Utils"), planted);
        fails(staticFieldsAreFinalRule(), planted);
        fails(onlyMainExitsRule(), planted);
        assertDoesNotThrow(() -> noNameEndsWithRule("Helper").check(planted));
    }

    private static void fails(ArchRule rule, JavaClasses classes) {
        assertThrows(AssertionError.class, () -> rule.check(classes), rule::getDescription);
    }

    private static ArchRule doesNotKnowRule(String module, String other) {
        return noClasses()
                .that()
                .resideInAPackage(in(module))
                .should()
                .dependOnClassesThat()
                .resideInAPackage(in(other))
                .allowEmptyShould(true); // while a module is empty; everyModuleIsLookedAt sees to the rest
    }

    private static ArchRule usedOnlyInRule(String library, String module) {
        return noClasses()
                .that()
                .resideOutsideOfPackage(in(module))
                .should()
                .dependOnClassesThat(resideInAnyPackage(library));
    }

    private static ArchRule noNameEndsWithRule(String ending) {
        return noClasses().should().haveSimpleNameEndingWith(ending);
    }

    private static ArchRule staticFieldsAreFinalRule() {
        return fields().that()
                .areStatic()
                .and()
                .areDeclaredInClassesThat()
                .areNotAnnotatedWith("com.google.protobuf.Generated")
                .should()
                .beFinal();
    }

    private static ArchRule onlyMainExitsRule() {
        return noClasses()
                .that()
                .doNotHaveFullyQualifiedName("dev.adapt.cli.Adapt")
                .should()
                .callMethod(System.class, "exit", int.class)
                .orShould()
                .callMethod(Runtime.class, "exit", int.class)
                .orShould()
                .callMethod(Runtime.class, "halt", int.class);
    }

    private static String in(String module) {
        return "dev.adapt." + module + "..";
    }

    /** What the rules are against. */
    @SuppressWarnings("unused")
    private static final class PlantedUtils {
        private static int state;

        static void exit() {
            System.exit(1);
        }
    }
}
